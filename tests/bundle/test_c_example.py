"""The README of a C bundle names an item that is there and that the program answers."""

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.builders import relu
from tests.bundle.c_programs import built
from tests.bundle.packages import LABELS, picture_package, table_package, text_package
from tests.bundle.serving_packages import write_tensor_package
from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.native import runtime_library
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

Make = Callable[[Path], ModelPackage]
PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
NUMBERS = np.array([[-1, 2.5, 3]], np.float32)
ROW = {"area": None, "roof": "gable", "rooms": 4}
LONG = {**ROW, "roof": 'a "long", ' * 20}


def table(row: Mapping[str, object]) -> Make:
    task = {"name": "tabular-classification", "labels": LABELS, "activation": "softmax"}
    return lambda path: table_package(path, rows=[row], **task)


def pictures(path: Path) -> ModelPackage:
    image = ImageSpec(height=4, width=5, scale=1 / 255)
    return picture_package(path, image=image, pictures=[PIXELS])


def tensors(path: Path) -> ModelPackage:
    return write_tensor_package(path, relu, {"x": NUMBERS})


def pair(path: Path) -> ModelPackage:
    return text_package(path, items=[["good film", "it's bad"]])


def made(make: Make, folder: Path) -> tuple[Path, str]:
    """A bundle, and what its README lets one type behind `build/app`."""
    package = make(folder / "a.ortpackage")
    target = folder / "bundle"
    bundle(package.path, target="c", output=target, options=BundleOptions(self_test=False))
    readme = (target / "README.md").read_text(encoding="utf-8")
    *_, typed = re.findall("^build/app (.*)$", readme, re.MULTILINE)
    return target, typed


@pytest.mark.parametrize(
    "make, typed, name, content",
    [
        (pictures, "example.raw", "example.raw", PIXELS.tobytes()),
        (tensors, "example.raw", "example.raw", NUMBERS.tobytes()),
        (
            table(LONG),
            "< example.csv",
            "example.csv",
            b',"%s",4\n' % (b'a ""long"", ' * 20),
        ),
    ],
)
def test_a_file_that_the_readme_names_is_there(
    make: Make, typed: str, name: str, content: bytes, tmp_path: Path
) -> None:
    folder, said = made(make, tmp_path)
    assert said == typed
    assert (folder / name).read_bytes() == content


@pytest.mark.parametrize(
    "make, words", [(table(ROW), [",gable,4"]), (pair, ["--pair", "good film", "it's bad"])]
)
def test_short_items_are_typed(make: Make, words: list[str], tmp_path: Path) -> None:
    folder, said = made(make, tmp_path)
    assert shlex.split(said) == words
    assert not [*folder.glob("example.*")]


@pytest.mark.slow
@pytest.mark.parametrize("make", [pictures, tensors, table(LONG)])
def test_the_readmes_line_is_answered(make: Make, tmp_path: Path) -> None:
    folder, said = made(make, tmp_path)
    built(folder, folder / "build")
    library = runtime_library(BundleOptions(), tmp_path)
    done = subprocess.run(
        ["bash", "-c", f"ONNXRUNTIME_LIB={library} build/app {said}"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
