"""examples/c_program: a C program around a bundle's library."""

from pathlib import Path

import pytest

from tests.bundle.c_programs import REPOSITORY, built, run
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, bundle

EXAMPLE = REPOSITORY / "examples" / "c_program"


@pytest.mark.slow
def test_lines_of_one_label_are_printed_above_a_probability(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    folder = tmp_path / "bundle"
    bundle(package, target="c", output=folder, options=BundleOptions(self_test=False))
    program = built(EXAMPLE, tmp_path / "build", f"-DBUNDLE={folder}") / "filter_reviews"
    lines = b"good film\nbad\n\nfilm film\n\xff\nvery good\n"

    done = run(program, folder / "model", "positive", "0.9", folder=tmp_path, lines=lines)
    assert done.stdout == b"0.98 good film\n0.98 very good\n"
    assert (done.returncode, done.stderr) == (3, b"left out: the text is not UTF-8\n")

    done = run(program, folder / "model", "negative", "0.9", folder=tmp_path, lines=lines)
    assert done.stdout == b"0.95 bad\n"

    done = run(program, folder / "model", "great", "0.9", folder=tmp_path, lines=lines)
    assert done.returncode == 3
    assert b"no label great" in done.stderr
