import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.training.tiny import write_tabular
from toolkit.errors import InputError, SetupError
from toolkit.export import export
from toolkit.tasks import Task
from toolkit.training import open_run, train
from toolkit.training.run import QatRecord
from toolkit.training.writing import write_record


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(write_tabular(folder / "recipe"), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_a_run_says_what_it_is(run: Path) -> None:
    opened = open_run(run)
    assert (opened.name, opened.output_names) == ("tiny", ("logits",))
    assert opened.dynamic_dimensions == {"numeric": {0: "batch"}}
    assert set(opened.metrics) == {"validation", "test"}
    assert opened.preprocessing == run / "preprocessing"
    assert opened.recipe_sha256 == opened.record.files["recipe.py"]


def test_the_module_is_rebuilt_without_the_data_and_answers_as_it_was_measured(run: Path) -> None:
    import torch

    assert not (run / "rows.csv").exists()
    opened = open_run(run)
    module = opened.module()
    assert not module.training
    feeds = {name: torch.from_numpy(array) for name, array in opened.reference_feeds.items()}
    with torch.no_grad():
        logits = module(**feeds).numpy()
    # The test split of the tiny data is as large as the reference: all of it stands there.
    guesses = Task(opened.task, None).probabilities(logits).argmax(axis=1)
    truth = [int(float(row["a"]) + float(row["b"]) > 0) for row in opened.reference_items]
    assert opened.metrics["test"].metrics["accuracy"].value == np.mean(guesses == truth)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "recipe.py", "preprocessing/features.json"]
)
@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_file_is_named(run: Path, name: str, damage: str) -> None:
    file = run / name
    if damage == "changed":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    with pytest.raises(InputError, match=Path(name).name):
        open_run(run)


@pytest.mark.parametrize(
    "change, message",
    [
        (('"schema_version": "1"', '"schema_version": "2"'), "schema version 2"),
        (('"seed": 0', '"sede": 0'), "damaged"),
        (('"recipe.py": "', '"../recipe.py": "'), r"\.\."),
    ],
)
def test_a_bad_run_document_is_refused(run: Path, change: tuple[str, str], message: str) -> None:
    file = run / "run.json"
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(change[0], change[1], 1))
    with pytest.raises(InputError, match=message):
        open_run(run)


def test_what_is_no_run_directory_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory") as caught:
        open_run(tmp_path)
    assert "toolkit train" in caught.value.fix


def test_what_the_int8_model_of_a_run_needs_is_named_before_anything_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = open_run(run).record
    qat = QatRecord(metrics={}, settings={}, epochs=1, best_epoch=1, seconds=0.0)
    write_record(run, msgspec.structs.replace(record, qat=qat))
    monkeypatch.setitem(sys.modules, "torchao", None)
    said: list[str] = []
    with pytest.raises(SetupError, match="torchao") as caught:
        export(run, tmp_path / "a.ortpackage", progress=said.append)
    assert caught.value.fix == "pip install onnx-edge-toolkit[train]"
    assert not [line for line in said if "exporting" in line]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("missing", ["torchao", "safetensors.torch"])
def test_a_missing_package_is_a_setup_error_where_an_int8_model_is_made(
    run: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(missing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SetupError, match=missing) as caught:
        open_run(run).fake_quantized()
    assert caught.value.fix == "pip install onnx-edge-toolkit[train]"
