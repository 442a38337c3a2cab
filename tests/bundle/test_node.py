"""The target node: an npm package that answers as the toolkit does."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests import builders
from tests.bundle.javascript import APPS, libraries, need
from tests.bundle.packages import LABELS, picture_package, table_package, text_package
from tests.bundle.test_python import ROW, assert_same
from toolkit import export, load
from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.npm import package_name, pins
from toolkit.bundle.targets.node import KNOWN
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

CUT = pytest.mark.filterwarnings("ignore:.*was cut to:toolkit.errors.ToolkitWarning")
FILES = {"cli.mjs", "index.d.ts", "index.js", "package-lock.json", "package.json", "README.md"}


def bundled(package: ModelPackage, *, self_test: bool = True, **options: Any) -> Path:
    """The bundle, with the libraries that `npm ci` would bring."""
    folder = package.path.with_suffix(".bundle")
    modules = libraries("node")
    asked = BundleOptions(self_test=self_test, runtime=modules, **options)
    report = bundle(package.path, target="node", output=folder, options=asked)
    assert report.self_test.ran is self_test
    assert not (folder / "node_modules").exists()
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    return folder


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", "cli.mjs", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def answers(folder: Path, items: Sequence[object]) -> list[Any]:
    """Of items, a line each."""
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    done = run(folder, stdin="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "task, output",
    [
        ({}, "logits"),
        ({"activation": "sigmoid", "multi_label": True}, "logits"),
        ({"name": "feature-extraction", "labels": ()}, "last_hidden_state"),
    ],
)
@pytest.mark.parametrize("length", [0, 12])
@CUT
def test_texts_are_answered_as_by_the_toolkit(
    task: dict[str, Any], output: str, length: int, tmp_path: Path
) -> None:
    texts = ["good film", "Ünfilmed 漢!", "film " * 40, "[CLS] [odd", "𠮷 ΣΟΦΟΣ"]
    package = text_package(tmp_path / "a.ortpackage", items=texts[:2], output=output, **task)
    folder = bundled(package, fix_shapes={"batch": 1, "sequence": length} if length else {})
    assert_same(answers(folder, texts), [load(package.path)(text) for text in texts])


@CUT
def test_pairs_are_answered_as_by_the_toolkit(tmp_path: Path) -> None:
    pairs = [("bad film", "unfilmed"), ("a", "b"), ("film " * 30, "good " * 30)]
    package = text_package(tmp_path / "a.ortpackage", items=pairs[:2])
    folder = bundled(package)
    expected = [load(package.path)(pair) for pair in pairs]
    assert_same(answers(folder, pairs), expected)
    named = [{"text": first, "text_pair": second} for first, second in pairs]
    assert_same(answers(folder, named), expected)


@pytest.mark.parametrize(
    "task",
    [
        {"name": "tabular-regression", "value_transform": "exp"},
        {"name": "tabular-classification", "labels": LABELS, "activation": "softmax"},
    ],
)
def test_rows_are_answered_as_by_the_toolkit(task: dict[str, Any], tmp_path: Path) -> None:
    rows = [ROW, {**ROW, "area": "", "roof": "thatched"}, {**ROW, "area": None, "rooms": "3.5"}]
    package = table_package(tmp_path / "a.ortpackage", rows=rows, **task)
    folder = bundled(package)
    assert_same(answers(folder, rows), [load(package.path)(row) for row in rows])
    wrong = run(folder, json.dumps({**ROW, "area": "nan"}))
    assert wrong.returncode == 3
    assert 'area is "nan"; expected a finite number' in wrong.stderr


PLAIN = ImageSpec(height=4, width=5, mode="L")
SCALED = ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    "image, kind",
    [
        (PLAIN, TensorProto.FLOAT),
        (PLAIN, TensorProto.UINT8),
        (SCALED, TensorProto.FLOAT),
        (SCALED, TensorProto.FLOAT16),
    ],
)
def test_pixels_are_answered_as_by_the_toolkit(image: ImageSpec, kind: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    channels = () if image.mode == "L" else (3,)
    pictures = [rng.integers(0, 256, (4, 5, *channels), np.uint8) for _ in range(3)]
    package = picture_package(tmp_path / "a.ortpackage", image=image, pictures=pictures, kind=kind)
    folder = bundled(package)
    gray = pictures[0] if not channels else pictures[0][..., 0]
    found = answers(folder, [one.tolist() for one in [*pictures, gray]])
    assert_same(found, [load(package.path)(one) for one in [*pictures, gray]])
    wrong = run(folder, "[[1, 2], [3, 4]]")
    assert wrong.returncode == 3
    assert "4 pixel values; expected 4 x 5" in wrong.stderr


def test_numbers_become_the_float16_that_numpy_makes_of_them(tmp_path: Path) -> None:
    app = APPS / "javascript" / "model.js"
    rng = np.random.default_rng(0)
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
    every = every[np.isfinite(every)]
    between = (np.sort(every)[1:] + np.sort(every)[:-1]) / 2  # as near to one as to the other
    numbers = np.concatenate([every, between, rng.standard_normal(1000), [65519.9, 65520, -1e9]])
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps(numbers.tolist()))
    code = (
        f"import {{halfBits}} from {json.dumps(app.as_uri())};"
        "import {readFileSync} from 'node:fs';"
        f"const numbers = JSON.parse(readFileSync({json.dumps(str(file))}));"
        "console.log(JSON.stringify(numbers.map(halfBits)));"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    with np.errstate(over="ignore"):
        expected = numbers.astype(np.float16).view(np.uint16)
    assert json.loads(done.stdout) == expected.tolist()


def test_a_level_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = bundled(
        table_package(tmp_path / "a.ortpackage", rows=[ROW], name="tabular-regression")
    )
    for cell in (None, True, ["flat"]):
        wrong = run(folder, json.dumps({**ROW, "roof": cell}))
        assert wrong.returncode == 3
        assert f"roof is {json.dumps(cell)}; expected a text" in wrong.stderr


def test_texts_are_lines_whatever_the_reference_inputs_were(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"), self_test=False)
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    about["self_test"]["cases"][0]["item"] = None  # tensors alone
    document.write_text(json.dumps(about), encoding="utf-8")
    assert "label" in json.loads(run(folder, "[odd] film").stdout)


def test_tensors_are_answered_as_by_the_graph(tmp_path: Path) -> None:
    builders.relu(tmp_path / "m.onnx")
    package = export(tmp_path / "m.onnx", tmp_path / "a.ortpackage").package
    folder = bundled(ModelPackage.open(Path(package)))
    (found,) = answers(folder, [{"x": [[-1, 2, 3]]}])
    assert found == {"outputs": {"y": {"dtype": "float32", "shape": [1, 3], "data": [[0, 2, 3]]}}}
    assert "there is no x; expected x" in run(folder, '{"z": [1]}').stderr


def test_the_bundle_holds_what_it_says_and_no_library(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "My Model.ortpackage"), self_test=False)
    assert {file.name for file in folder.iterdir() if file.is_file()} >= FILES
    assert not list(folder.rglob("*.j2"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 45
    package = json.loads((folder / "package.json").read_text())
    assert package["name"] == "my-model"
    lock = json.loads((folder / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"] == pins(folder)
    libraries_ = {name: one for name, one in lock["packages"].items() if name}
    assert all(one["integrity"].startswith("sha512-") for one in libraries_.values())
    assert not any("resolved" in one for one in libraries_.values())
    for name, (_, size) in KNOWN.items():
        files = (libraries("node") / name).rglob("*")
        assert sum(file.stat().st_size for file in files if file.is_file()) == size


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "self_test.bin"])
def test_the_self_test_fails_when_one_byte_was_changed(name: str, tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"), self_test=False)
    assert run(folder, "--self-test").returncode == 0
    file = folder / "model" / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    done = run(folder, "--self-test")
    assert done.returncode == 1
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["passed"], said["problems"]) == (False, [f"{name} was changed"])


@pytest.mark.parametrize("what", ["preprocessing", "answers", "label", "number"])
def test_the_self_test_compares_more_than_files(what: str, tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"), self_test=False)
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    if what == "preprocessing":
        about["self_test"]["cases"][1]["item"] = "bad film"
    elif what == "label":
        del about["self_test"]["cases"][0]
        about["task"]["labels"].reverse()
    elif what == "number":
        about["self_test"]["cases"][0]["result"]["score"] *= 0.999
    else:
        case = about["self_test"]["cases"][0]
        case["outputs"][0]["offset"] += 4
        case["result"] = None
    document.write_text(json.dumps(about), encoding="utf-8")
    done = run(folder, "--self-test")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout.splitlines()[-1])["problems"]
    expected = {
        "preprocessing": "case 2: preprocessing makes other inputs",
        "answers": "the answers differ by ",
    }
    assert problem.startswith(expected.get(what, "case 1: postprocessing makes another result"))


def test_a_bundle_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.bundle import cases

    monkeypatch.setattr(cases, "limit_of", lambda *_: -1.0)
    package = text_package(tmp_path / "a.ortpackage")
    with pytest.raises(CheckFailedError, match="self-test"):
        bundled(package)
    assert not package.path.with_suffix(".bundle").exists()


def test_node_that_is_missing_or_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SetupError, match="node is not installed") as failed:
        bundle(package.path, target="node", output=tmp_path / "b")
    assert failed.value.fix == "apt-get install nodejs"
    (programs / "node").write_text("#!/bin/sh\necho v12.22.9\n")
    (programs / "node").chmod(0o755)
    with pytest.raises(SetupError, match=r"v12\.22\.9") as failed:
        bundle(package.path, target="node", output=tmp_path / "b")
    assert failed.value.expected == "Node 20 or newer"
    assert not (tmp_path / "b").exists()


def test_npm_that_is_missing_or_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("node")
    package = text_package(tmp_path / "a.ortpackage")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "node").symlink_to(str(shutil.which("node")))
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SetupError, match="npm is not installed"):
        bundle(package.path, target="node", output=tmp_path / "b")
    (programs / "npm").write_text("#!/bin/sh\necho 'ENOTFOUND registry' >&2\nexit 1\n")
    (programs / "npm").chmod(0o755)
    with pytest.raises(SetupError, match="ENOTFOUND registry") as failed:
        bundle(package.path, target="node", output=tmp_path / "b")
    assert "--runtime" in failed.value.fix
    assert "--no-self-test" in failed.value.fix
    options = BundleOptions(self_test=False)
    report = bundle(package.path, target="node", output=tmp_path / "b", options=options)
    assert report.self_test.ran is False


def test_a_runtime_of_another_version_is_refused(tmp_path: Path) -> None:
    need("node")
    package = text_package(tmp_path / "a.ortpackage")
    library = tmp_path / "node_modules" / "@huggingface" / "tokenizers"
    library.mkdir(parents=True)
    (library / "package.json").write_text('{"version": "0.1.0"}')
    options = BundleOptions(runtime=tmp_path / "node_modules")
    with pytest.raises(InputError, match=r"@huggingface/tokenizers 0\.1\.0") as failed:
        bundle(package.path, target="node", output=tmp_path / "b", options=options)
    assert failed.value.fix == "npm install @huggingface/tokenizers@0.2.0"


@pytest.mark.parametrize(
    "name, expected",
    [("a.ortpackage", "a"), ("Große Ärger!.ortpackage", "gro-e-rger"), ("...", "model")],
)
def test_names_are_those_that_npm_allows(name: str, expected: str) -> None:
    assert package_name(name) == expected


def test_telemetry_is_off_before_the_runtime_is_loaded(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"), self_test=False)
    code = (
        "import {openModel} from './index.js';"
        "const before = process.env.ORT_DISABLE_TELEMETRY;"
        "const loaded = () => process.report.getReport().sharedObjects"
        ".some((one) => one.includes('onnxruntime'));"
        "const early = loaded(); await openModel(); console.log(before, early, loaded());"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 false true\n"


@pytest.mark.slow
def test_npm_installs_the_package_and_its_program_runs(tmp_path: Path) -> None:
    libraries("node")  # fills npm's cache, and skips where there is no npm
    package = text_package(tmp_path / "a.ortpackage")
    folder = tmp_path / "bundle"
    asked = BundleOptions()  # the toolkit itself runs npm here
    report = bundle(package.path, target="node", output=folder, options=asked)
    assert report.self_test.where.startswith("onnxruntime-node 1.30.0 on Node ")
    subprocess.run(
        ["npm", "ci", "--prefer-offline"], cwd=folder, check=True, capture_output=True, timeout=300
    )
    readme = (folder / "README.md").read_text(encoding="utf-8").split("```")
    assert "npm ci " in readme[1]
    (folder / "program.mjs").write_text(readme[3].removeprefix("js"), encoding="utf-8")
    done = subprocess.run(
        ["node", "program.mjs"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert "label: " in done.stdout
