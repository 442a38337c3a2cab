"""The app for Python: it answers as the toolkit does, and its self-test finds what is wrong."""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from tests import builders
from tests.bundle.packages import (
    LABELS,
    picture_package,
    table_package,
    text_package,
    word_pieces,
)
from tests.tiny_package import write_tiny_package
from toolkit import bundle, export, load
from toolkit.bundle import BundleOptions
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

APP = Path("toolkit/bundle/apps/python/app.py")
ROW = {"area": 120.5, "roof": "gable", "rooms": 4, "ignored": "x"}


def bundled(package: ModelPackage, *, self_test: bool = False, **options: Any) -> Path:
    """The bundle; its self-test takes half of a second, in a process of its own."""
    folder = package.path.with_suffix(".bundle")
    asked = BundleOptions(self_test=self_test, **options)
    bundle(package.path, target="python", output=folder, options=asked)
    return folder


def app_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bundle's model, as a program that imports the app has it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    specification = importlib.util.spec_from_file_location("app", folder / "app.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Model(threads=1)


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_same(found: Any, expected: Any) -> None:
    """Equal but for the last digits of float32."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    else:
        assert found == expected


def test_the_app_is_one_short_file() -> None:
    assert len(APP.read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize(
    "task, output",
    [
        ({}, "logits"),
        ({"activation": "sigmoid", "multi_label": True}, "logits"),
        ({"activation": "none"}, "logits"),
        ({"name": "feature-extraction", "labels": ()}, "logits"),
        ({"name": "feature-extraction", "labels": ()}, "last_hidden_state"),
    ],
)
@pytest.mark.parametrize("length", [0, 12])
def test_texts_and_pairs_are_answered_as_by_the_toolkit(
    task: dict[str, Any], output: str, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = ["good film", ("bad film", "unfilmed"), {"text": "a", "text_pair": "b"}]
    package = text_package(tmp_path / "a.ortpackage", items=items, output=output, **task)
    sizes = {"batch": 1, "sequence": length} if length else {}
    app = app_of(bundled(package, fix_shapes=sizes, self_test=True), monkeypatch)
    assert app.about["text"]["length"] == length
    model = load(package.path)
    for item in ("good film", "Ünfilmed 漢!", ("bad film", "unfilmed"), "film", "[CLS] [odd"):
        assert_same(app(item), model(item))


def test_a_long_text_is_cut_as_by_the_toolkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    app = app_of(bundled(package), monkeypatch)
    with pytest.warns(UserWarning, match="was cut"):
        expected = load(package.path)("good bad " * 40)
    assert app.encode("good bad " * 40)["input_ids"].shape == (1, 12)
    assert_same(app("good bad " * 40), expected)


def test_one_logit_is_the_second_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = write_tiny_package(tmp_path / "a.ortpackage")
    app = app_of(bundled(package), monkeypatch)
    for text in ("a good film", "bad", "film film bad"):
        assert_same(app(text), load(package.path)(text))
    assert app("bad")["label"] == "negative"
    extreme = {"logits": np.array([[-800.0]], np.float32)}
    assert app.decode(extreme)["scores"] == {"negative": 1.0, "positive": 0.0}


def test_a_text_without_tokens_is_one_token_of_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer(WordLevel({"film": 0, "[PAD]": 1}, unk_token="[none]"))  # noqa: S106
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    package = text_package(tmp_path / "a.ortpackage", items=["film"], tokenizer=tokenizer)
    app = app_of(bundled(package), monkeypatch)
    assert {name: one.tolist() for name, one in app.encode(" ").items()} == {
        "input_ids": [[1]],
        "attention_mask": [[0]],
        "token_type_ids": [[0]],
    }


@pytest.mark.parametrize(
    "task",
    [
        {"name": "tabular-regression", "value_transform": "exp"},
        {"name": "tabular-regression"},
        {"name": "tabular-classification", "labels": LABELS, "activation": "softmax"},
    ],
)
def test_rows_are_answered_as_by_the_toolkit(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ROW, {**ROW, "area": "", "roof": "thatched"}, {**ROW, "area": None, "rooms": "3.5"}]
    package = table_package(tmp_path / "a.ortpackage", rows=rows, **task)
    app, model = app_of(bundled(package, self_test=True), monkeypatch), load(package.path)
    for row in [*rows, {**ROW, "roof": "flat"}]:
        assert_same(app(row), model(row))
    with pytest.raises(ValueError, match="area is 'nan'"):
        app({**ROW, "area": "nan"})


def test_a_level_that_the_model_does_not_know_is_an_error_where_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(
        bundled(table_package(tmp_path / "a.ortpackage", rows=[ROW], name="tabular-regression")),
        monkeypatch,
    )
    app.about["columns"][1]["unknown"] = "error"
    with pytest.raises(ValueError, match=r"roof is 'thatched'; expected \['flat', 'gable'\]"):
        app({**ROW, "roof": "thatched"})


@pytest.mark.parametrize(
    "image",
    [
        ImageSpec(height=4, width=5, mode="L"),
        ImageSpec(height=4, width=5, mode="L", scale=1 / 255, mean=(0.5,), std=(0.25,)),
        ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3)),
    ],
)
def test_pixels_are_answered_as_by_the_toolkit(
    image: ImageSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    channels = () if image.mode == "L" else (3,)
    pictures = [rng.integers(0, 256, (4, 5, *channels), np.uint8) for _ in range(3)]
    package = picture_package(tmp_path / "a.ortpackage", image=image, pictures=pictures)
    folder = bundled(package, self_test=True)
    app, model = app_of(folder, monkeypatch), load(package.path)
    for picture in [*pictures, pictures[0].mean(axis=-1).astype(np.uint8) if channels else []]:
        if len(picture):
            assert_same(app(picture), model(picture))
    assert app.about["self_test"]["cases"][0]["item"] == pictures[0].tolist()
    answer = run(folder, stdin=json.dumps(pictures[0].tolist()) + "\n")
    assert_same(json.loads(answer.stdout), model(pictures[0]))


@pytest.mark.torch
def test_a_picture_that_must_be_resized_is_a_case_of_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [np.full((8, 10), 7, np.uint8)]
    package = picture_package(
        tmp_path / "a.ortpackage",
        image=ImageSpec(height=4, width=5, mode="L"),
        pictures=pictures,
    )
    app = app_of(bundled(package), monkeypatch)
    assert [case["item"] for case in app.about["self_test"]["cases"]] == [None]


def test_tensors_are_answered_as_by_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builders.relu(tmp_path / "m.onnx")
    package = export(tmp_path / "m.onnx", tmp_path / "a.ortpackage").package
    folder = bundled(ModelPackage.open(Path(package)))
    found = app_of(folder, monkeypatch)({"x": [[-1, 2, 3]]})
    assert found == {"outputs": {"y": {"dtype": "float32", "shape": [1, 3], "data": [[0, 2, 3]]}}}
    assert json.loads(run(folder, '{"x": [[-1, 2, 3]]}').stdout) == found


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    package = text_package(tmp_path / "a.ortpackage", items=['it\'s a "good" film'])
    folder = bundled(package)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 45
    blocks = readme.split("```")
    commands = [shlex.split(line)[2:] for line in blocks[1].splitlines()[2:]]
    assert commands == [["--self-test"], ['it\'s a "good" film']]
    answers = [run(folder, *arguments) for arguments in commands]
    assert json.loads(answers[0].stdout)["passed"] is True
    assert_same(json.loads(answers[1].stdout), load(package.path)(commands[1][0]))
    done = subprocess.run(
        [sys.executable, "-B", "-c", blocks[3].removeprefix("python")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("{'label': ")


@pytest.mark.parametrize("kind", ["row", "tensor", "picture"])
def test_the_program_in_the_readme_runs_for_what_cannot_be_typed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ortpackage"
    if kind == "row":
        wide = {**ROW, "more": "x" * 200}
        package = table_package(path, rows=[wide], name="tabular-regression")
    elif kind == "tensor":
        builders.relu(tmp_path / "m.onnx")
        package = ModelPackage.open(Path(export(tmp_path / "m.onnx", path).package))
    else:
        image = ImageSpec(height=4, width=5)
        package = picture_package(path, image=image, pictures=[np.ones((4, 5, 3), np.uint8)])
    folder = bundled(package)
    blocks = (folder / "README.md").read_text(encoding="utf-8").split("```")
    assert "app.py < items.jsonl" in blocks[1]
    program = blocks[3].removeprefix("python")
    subprocess.run([sys.executable, "-B", "-c", program], cwd=folder, check=True)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "self_test.bin"])
@pytest.mark.parametrize("place", [0, -1])  # with another first byte, nothing opens the file
def test_the_self_test_fails_when_one_byte_was_changed(
    name: str, place: int, tmp_path: Path
) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    file = folder / "model" / name
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    done = run(folder, "--self-test")
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False
    assert f"{name} was changed" in done.stderr


@pytest.mark.parametrize("what", ["preprocessing", "answers", "nan", "label", "number"])
def test_the_self_test_compares_more_than_files(what: str, tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    if what == "preprocessing":
        about["self_test"]["cases"][1]["item"] = "bad film"
    elif what == "answers":
        about["self_test"]["cases"][0]["outputs"][0]["offset"] += 4
    elif what == "label":
        about["task"]["labels"] = about["task"]["labels"][::-1]
    elif what == "number":
        about["self_test"]["cases"][1]["result"]["score"] *= 0.999
    else:
        app = folder / "app.py"
        code = app.read_text(encoding="utf-8")
        app.write_text(code.replace("model.run(feeds).items()", _NAN), encoding="utf-8")
    document.write_text(json.dumps(about), encoding="utf-8")
    done = run(folder, "--self-test")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["passed"] is False
    if what == "preprocessing":
        assert "case 2: preprocessing makes other inputs" in done.stderr
    elif what in {"label", "number"}:
        assert "case 2: postprocessing makes another result" in done.stderr
    else:
        assert said["largest_difference"] > said["limit"]


_NAN = "((name, value * np.nan) for name, value in model.run(feeds).items())"


def test_the_app_alone_answers_without_the_toolkit(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    code = "import sys, app; app.Model()('film'); print('toolkit' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_texts_are_lines_whatever_the_reference_inputs_were(tmp_path: Path) -> None:
    folder = bundled(text_package(tmp_path / "a.ortpackage"))
    document = folder / "model" / "model.json"
    about = json.loads(document.read_text(encoding="utf-8"))
    expected = run(folder, "[odd] film").stdout
    assert json.loads(expected)["label"]
    about["self_test"]["cases"][0]["item"] = None  # tensors alone
    document.write_text(json.dumps(about), encoding="utf-8")
    assert run(folder, "[odd] film").stdout == expected
    pairs = bundled(text_package(tmp_path / "b.ortpackage", items=[("good", "film")]))
    assert json.loads(run(pairs, '["good", "bad"]').stdout)["label"]
    assert "as JSON" in (pairs / "README.md").read_text(encoding="utf-8")


def test_versions_are_pinned(tmp_path: Path) -> None:
    import onnxruntime

    folder = bundled(text_package(tmp_path / "a.ortpackage", tokenizer=word_pieces()))
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert lines[0] == f"onnxruntime=={onnxruntime.__version__}"
    assert [line.split("==")[0] for line in lines] == ["onnxruntime", "numpy", "tokenizers"]
