import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import IMAGE, TEXT, weights, write
from toolkit.errors import InputError
from toolkit.tasks import open_task
from toolkit.tasks.tabular import FeatureTable
from toolkit.training import Data, Progress, Split, load_recipe, open_run, split_rows, train
from toolkit.training.data import folds


def test_a_run_directory_holds_everything_that_was_promised(recipe: Path, tmp_path: Path) -> None:
    report = train(recipe, tmp_path / "run")
    files = sorted(p.relative_to(report.run).as_posix() for p in report.run.rglob("*.*"))
    assert files == [
        "curve.csv",
        "curve.png",
        "preprocessing/features.json",
        "recipe.py",
        "reference/inputs.npz",
        "reference/items.json",
        "run.json",
        "weights.safetensors",
    ]
    document = json.loads((report.run / "run.json").read_text())
    assert document["metrics"]["test"]["n"] == document["rows"]["test"] == 16
    assert document["settings"]["batch_size"] == 16
    assert set(document["files"]) == set(files) - {"run.json"}
    assert str(tmp_path) not in (report.run / "run.json").read_text()
    lines = (report.run / "curve.csv").read_text().splitlines()
    assert lines[0] == "epoch,learning_rate,train_loss,validation_loss,validation_accuracy"
    assert len(lines) == 1 + report.epochs
    assert (report.run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_training_learns(recipe: Path, tmp_path: Path) -> None:
    report = train(recipe, tmp_path / "run", settings={"max_epochs": 20})
    accuracy = report.metrics["test"].metrics["accuracy"]
    assert accuracy.value >= 0.9
    assert accuracy.interval_95[0] < accuracy.value <= accuracy.interval_95[1]


def test_the_same_seed_gives_the_same_bytes_and_leaves_the_callers_randomness_alone(
    recipe: Path, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        train(recipe, run, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name in ("weights.safetensors", "curve.csv", "curve.png", "reference/inputs.npz"):
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes()
    assert open_run(runs[0]).record.seed == 5


def test_training_prints_nothing_and_leaves_nothing_in_the_working_directory(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    train(recipe, tmp_path / "run", settings={"folds": 2, "max_epochs": 1})
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert [*elsewhere.iterdir()] == []


def test_progress_counts_every_batch_and_carries_the_last_epochs_figures(
    recipe: Path, tmp_path: Path
) -> None:
    states: list[Progress] = []
    train(recipe, tmp_path / "run", settings={"max_epochs": 2}, progress=states.append)
    assert [(s.epoch, s.batch, s.batches) for s in states] == [
        (epoch, batch, 3) for epoch in (1, 2) for batch in (1, 2, 3)
    ]
    assert states[0].figures == {}
    assert set(states[-1].figures) >= {"train_loss", "validation_loss", "validation_accuracy"}


def test_force_does_not_replace_a_folder_that_is_no_run(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no run, so it will not be replaced"):
        train(recipe, tmp_path / "home", force=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "mine"


def test_a_run_is_replaced_only_with_force(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(recipe, run)
    (run / "notes.txt").write_text("of the first run")
    with pytest.raises(InputError, match="not empty"):
        train(recipe, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe", "run"]
    assert (run / "notes.txt").is_file()
    train(recipe, run, force=True)
    assert not (run / "notes.txt").exists()
    assert open_run(run).name == "tiny"


def test_text_is_tokenized_by_the_runs_tokenizer_and_padding_is_in_the_reference(
    tmp_path: Path,
) -> None:
    train(write(tmp_path, TEXT), tmp_path / "run")
    run = open_run(tmp_path / "run")
    feeds = run.reference_feeds
    assert feeds["input_ids"].shape == (16, 5)
    assert feeds["attention_mask"].sum(axis=1).tolist() == [5, 1] * 8
    assert run.preprocessing is not None
    encoded = open_task(run.task, run.preprocessing, run.inputs).encode(run.reference_items)
    np.testing.assert_array_equal(encoded["input_ids"], feeds["input_ids"])
    assert run.dynamic_dimensions["attention_mask"] == {0: "batch", 1: "sequence"}


def test_images_need_no_preprocessing_and_are_augmented_in_training_only(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, IMAGE))
    report = train(recipe, tmp_path / "run")
    drawn = recipe.load.__globals__["augmented"]
    assert len(drawn) == 1 + report.epochs * 2  # one trial batch, then 16 rows by eight
    assert len(set(drawn)) == len(drawn)  # an epoch draws what no other one drew
    run = open_run(tmp_path / "run")
    assert run.preprocessing is None
    assert run.dynamic_dimensions == {"image": {0: "batch"}}
    assert run.reference_feeds["image"].shape == (16, 1, 2, 2)
    assert run.reference_items[1].tolist() == [[255, 255], [255, 255]]


def test_what_calibration_measured_is_in_the_weights(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", settings={"max_epochs": 1})
    loaded = load_recipe(recipe)
    data = loaded.load(loaded.settings)
    table = FeatureTable.read(tmp_path / "run" / "preprocessing" / "features.json")
    expected = table.encode(data.train.items)["numeric"].mean(axis=0)
    np.testing.assert_allclose(weights(tmp_path / "run")["mean"], expected, rtol=1e-5)


def numbered(count: int) -> Data:
    targets = np.array([row % 4 == 0 for row in range(count)]).astype(np.int64)
    return split_rows([*range(count)], targets, validation=0.1, test=0.2, seed=0)


def test_splits_are_disjoint_complete_and_keep_the_shares_of_classes() -> None:
    data = numbered(200)
    parts = [set(split.items) for split in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [140, 20, 40]
    assert set.union(*parts) == set(range(200))
    assert data.test.targets.mean() == data.train.targets.mean() == 0.25


def test_every_row_is_held_out_in_one_fold() -> None:
    split = numbered(50).train
    parts = folds(split, 4, seed=1)
    held_out = [item for _train, part in parts for item in part.items]
    assert sorted(held_out) == sorted(split.items)
    for train_part, part in parts:
        assert set(train_part.items).isdisjoint(part.items)
        assert len(train_part) + len(part) == len(split)


def test_a_split_with_too_few_targets_is_refused() -> None:
    with pytest.raises(InputError, match="2 items and 1 targets"):
        Split(items=["a", "b"], targets=np.array([0]))
