"""The apps in examples/ do what they say."""

import os
import subprocess
import sys
from pathlib import Path

from tests.tiny_package import write_tiny_package

REPOSITORY = Path(__file__).parents[1]


def sort_reviews(package: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "examples" / "sort_reviews" / "app.py"),
            str(package),
            str(folder),
        ],
        input="good film\nbad\n\nfilm film\nx\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_reviews_are_sorted_by_label_and_the_unsure_are_set_apart(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    done = sort_reviews(package, tmp_path / "sorted")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "negative 3\npositive 1\n"
    assert (tmp_path / "sorted" / "positive.txt").read_text() == "good film\n"
    assert (tmp_path / "sorted" / "negative.txt").read_text() == "bad\nfilm film\nx\n"


def test_a_package_that_is_none_ends_with_its_name(tmp_path: Path) -> None:
    done = sort_reviews(tmp_path / "nothing.ortpackage", tmp_path / "sorted")
    assert done.returncode == 1
    assert "nothing.ortpackage" in done.stderr
