"""The Python app as people use it: typed wrongly, or with items that it cannot answer."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import builders
from tests.bundle.packages import picture_package, table_package, text_package
from tests.bundle.test_python import ROW, bundled, run
from toolkit import export
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec


def made(kind: str, path: Path) -> Path:
    """A bundle whose items are of a kind, written below a folder."""
    package = path / "a.ortpackage"
    if kind == "row":
        return bundled(table_package(package, rows=[ROW], name="tabular-regression"))
    if kind == "picture":
        image = ImageSpec(height=4, width=5)
        return bundled(picture_package(package, image=image, pictures=[np.ones((4, 5, 3), "u1")]))
    builders.relu(path / "m.onnx")
    return bundled(ModelPackage.open(Path(export(path / "m.onnx", package).package)))


@pytest.mark.parametrize("kind", ["row", "picture", "tensor"])
def test_an_item_of_another_kind_is_one_line(kind: str, tmp_path: Path) -> None:
    folder = made(kind, tmp_path)
    for item in ("{}", "hello", "null"):
        done = run(folder, stdin=item + "\n")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("line 1: ")
        assert len(done.stderr.splitlines()) == 1


def test_numbers_that_are_missing_or_endless_are_refused(tmp_path: Path) -> None:
    folder = made("tensor", tmp_path)
    for number in ("1e999", "1e39", "NaN", "null", '"a"'):
        done = run(folder, '{"x": [[1, 2, 3]]}', f'{{"x": [[{number}, 2, 3]]}}')
        assert (done.returncode, len(done.stdout.splitlines())) == (3, 1)
        assert "line 2: ValueError" in done.stderr


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder,
        input="good fílm\r\n".encode() + b"bad \xff film\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(b"line 2: UnicodeDecodeError")
    assert json.loads(done.stdout) == json.loads(run(folder, "good fílm").stdout)


def test_an_option_that_is_not_there_is_no_text(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    typo = run(folder, "--selftest")
    assert (typo.returncode, typo.stdout) == (2, "")
    told = run(folder, "--help")
    assert told.returncode == 0
    assert "--self-test" in told.stdout


@pytest.mark.parametrize("arguments, code", [(["--self-test"], 1), (["a film"], 3)])
def test_a_document_that_is_no_json_is_one_line(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    document = folder / "model" / "model.json"
    document.write_text("?" + document.read_text(encoding="utf-8")[1:], encoding="utf-8")
    done = run(folder, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("the model: JSONDecodeError")
