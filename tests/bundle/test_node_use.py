"""The app for Node as people use it: items that it cannot answer, and another app around it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import builders
from tests.bundle.javascript import libraries
from tests.bundle.packages import text_package
from tests.bundle.test_node import bundled, run
from toolkit import export
from toolkit.package import ModelPackage


@pytest.mark.parametrize(
    "item, told",
    [
        ('{"x": [["a", 2, 3]]}', 'x has "a"; expected numbers'),
        ('{"x": [[null, 2, 3]]}', "x has null; expected numbers"),
        ('{"x": [[1e999, 2, 3]]}', "a number is not finite"),
        ('{"x": [[1e39, 2, 3]]}', "a number is not finite"),  # infinite as float32
        ("null", "the item is null; expected an object"),
        ("hello", "JSON"),
    ],
)
def test_what_is_no_tensor_of_numbers_is_refused(item: str, told: str, tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    package = export(tmp_path / "m.onnx", tmp_path / "a.ortpackage").package
    folder = bundled(ModelPackage.open(Path(package)), self_test=False)
    done = run(folder, '{"x": [[1, 2, 3]]}', item)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 1)
    assert done.stderr.startswith("line 2: ")
    assert told in done.stderr


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"), self_test=False)
    done = subprocess.run(
        ["node", "cli.mjs"],
        cwd=folder,
        input="good fílm\r\n".encode() + b"bad \xff film\n",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"line 2: the text is not UTF-8\n")
    assert json.loads(done.stdout) == json.loads(run(folder, "good fílm").stdout)


@pytest.mark.slow
def test_the_readme_embeds_the_package_in_an_app(tmp_path: Path) -> None:
    libraries("node")  # fills npm's cache, and skips where there is no npm
    made = bundled(text_package(tmp_path / "ml.ortpackage"), self_test=False)
    (made / "node_modules").unlink()
    application = tmp_path / "application"
    application.mkdir()
    made.rename(application / "ml")
    (application / "package.json").write_text('{"name": "application", "type": "module"}')
    blocks = (application / "ml" / "README.md").read_text(encoding="utf-8").split("```")
    install = blocks[5].removeprefix("sh").strip()
    assert install == "npm install --ignore-scripts ./ml"
    subprocess.run(
        [*install.split(), "--prefer-offline", "--no-audit"],
        cwd=application,
        env={k: v for k, v in os.environ.items() if k != "ONNXRUNTIME_NODE_INSTALL"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    fetched = [file.name for file in application.rglob("*") if "cuda" in file.name.lower()]
    assert fetched == []
    (application / "program.mjs").write_text(blocks[3].removeprefix("js"), encoding="utf-8")
    done = subprocess.run(
        ["node", "program.mjs"],
        cwd=application,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "label: " in done.stdout
