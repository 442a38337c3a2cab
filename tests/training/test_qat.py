"""Quantization-aware training: what it adds to a run, and what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.qat_recipes import BRANCHES, LSTM, NO_PRODUCT
from tests.training.test_resume import stop_at
from tests.training.tiny import weights, write, write_tabular
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.tensors import Array
from toolkit.training import Progress, TrainReport, open_run, train

pytestmark = [pytest.mark.torch, pytest.mark.slow]

PHASE = "quantization-aware training"


def quantized_weights(run: Path) -> dict[str, Array]:
    from safetensors.numpy import load_file

    return dict(load_file(run / "qat" / "weights.safetensors"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    folder = tmp_path_factory.mktemp("qat")
    return train(write_tabular(folder / "recipe"), folder / "run", qat=True)


def test_a_run_holds_the_float_model_and_the_quantized_one_with_their_metrics(
    trained: TrainReport, tmp_path: Path
) -> None:
    alone = train(trained.run.parent / "recipe" / "recipe.py", tmp_path / "float")
    expected, found = weights(alone.run), weights(trained.run)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert trained.metrics == alone.metrics
    run = open_run(trained.run)
    assert run.record.qat is not None
    assert run.record.qat.metrics == trained.quantized
    assert trained.quantized is not None
    accuracy = trained.quantized["test"].metrics["accuracy"]
    assert accuracy.n == 16
    assert accuracy.interval_95[0] <= accuracy.value <= accuracy.interval_95[1]
    assert (trained.qat_epochs, run.record.qat.epochs) == (3, 3)
    assert "torchao" in run.record.versions
    with (trained.run / "qat" / "curve.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_the_quantized_model_of_a_run_answers_as_when_it_was_measured(trained: TrainReport) -> None:
    import torch

    run = open_run(trained.run)
    module = run.fake_quantized()
    feeds = {name: torch.from_numpy(array) for name, array in run.reference_feeds.items()}
    with torch.no_grad():
        quantized, plain = module(**feeds), run.module()(**feeds)
        again = module.converted()(**feeds)
    assert torch.equal(quantized, again)
    assert 0 < float((quantized - plain).abs().max()) < 2


def test_scales_are_powers_of_two_and_zero_points_even(trained: TrainReport) -> None:
    found = quantized_weights(trained.run)
    scales = [value for name, value in found.items() if name.endswith(".scale")]
    points = [value for name, value in found.items() if name.endswith(".zero_point")]
    assert len(scales) == len(points) == 4
    for scale in scales:
        np.testing.assert_array_equal(np.frexp(scale)[0], 0.5)
    assert all((point % 2 == 0).all() for point in points)


def test_ranges_move_in_the_first_half_of_a_training_and_stand_still_in_the_second(
    tmp_path: Path,
) -> None:
    import torch

    stored = tmp_path / ".run.partial" / "qat" / "last.ckpt"
    after: dict[int, dict[str, float]] = {}  # by epochs

    def look(state: Progress) -> None:
        if state.phase != PHASE or state.batch > 1 or state.epoch == 1:
            return
        values = torch.load(stored, weights_only=True)["state_dict"].items()
        ends = [
            (name, v) for name, v in values if name.endswith(("min_val", "max_val")) and v.ndim == 0
        ]
        after[state.epoch - 1] = {name: float(value) for name, value in ends}

    recipe = write_tabular(tmp_path / "recipe")
    train(recipe, tmp_path / "run", qat=True, settings={"qat_epochs": 6}, progress=look)
    assert len(after[1]) == 4  # both ends of the inputs of two layers
    for earlier, later in ((1, 2), (2, 3)):
        assert all(after[earlier][name] != after[later][name] for name in after[1])
    assert after[3] == after[4] == after[5]


def test_an_interrupted_one_resumes_to_the_same_weights(tmp_path: Path) -> None:
    recipe, run = write_tabular(tmp_path / "recipe"), tmp_path / "run"
    whole = train(recipe, tmp_path / "whole", qat=True)
    stop = stop_at(2, KeyboardInterrupt(), phase=PHASE)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, qat=True, progress=stop)
    assert not run.exists()
    seen: set[tuple[str, int]] = set()
    report = train(
        recipe,
        run,
        qat=True,
        resume=True,
        progress=lambda state: seen.add((state.phase, state.epoch)),
    )
    assert seen == {(PHASE, 2), (PHASE, 3)}
    assert report.quantized == whole.quantized
    expected, found = quantized_weights(whole.run), quantized_weights(run)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_another_run_can_be_where_it_starts(trained: TrainReport, tmp_path: Path) -> None:
    recipe = trained.run.parent / "recipe" / "recipe.py"
    settings = {"qat_epochs": 2, "qat_rate": 0.5}
    report = train(recipe, tmp_path / "run", qat=True, origin=trained.run, settings=settings)
    assert report.qat_epochs == 2
    assert report.metrics == trained.metrics
    assert (report.run / "curve.csv").read_bytes() == (trained.run / "curve.csv").read_bytes()
    expected, found = weights(trained.run), weights(report.run)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert open_run(report.run).record.settings == open_run(trained.run).record.settings


def test_resuming_from_another_run_is_refused(trained: TrainReport, tmp_path: Path) -> None:
    recipe, run = trained.run.parent / "recipe" / "recipe.py", tmp_path / "run"
    stop = stop_at(2, KeyboardInterrupt(), phase=PHASE)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, qat=True, origin=trained.run, progress=stop)
    with pytest.raises(InputError, match="started from another run"):
        train(recipe, run, qat=True, resume=True)


@pytest.mark.parametrize(
    "source, message",
    [
        (LSTM, "nn.LSTM"),
        (NO_PRODUCT, "nothing in the model can be quantized"),
        (BRANCHES, "torch.export stops"),
    ],
    ids=["lstm", "no product", "branches"],
)
def test_what_cannot_be_quantized_is_refused_before_it_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    recipe = write(tmp_path / "recipe", source)
    assert main(["train", str(recipe), "-o", str(tmp_path / "run"), "--qat"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "toolkit quantize" in captured.err
    assert "epoch" not in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe"]


def test_text_generation_is_refused(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "models" / "tiny_gpt" / "recipe.py"
    with pytest.raises(InputError, match="text-generation") as caught:
        train(recipe, tmp_path / "run", qat=True, fast=True)
    assert "toolkit quantize" in caught.value.fix


def test_a_run_to_start_from_needs_the_option_and_the_same_recipe(
    trained: TrainReport, tmp_path: Path
) -> None:
    recipe = trained.run.parent / "recipe" / "recipe.py"
    with pytest.raises(InputError, match="nothing is to be done"):
        train(recipe, tmp_path / "run", origin=trained.run)
    changed = write_tabular(tmp_path / "changed")
    changed.write_text(changed.read_text() + "\n# changed\n")
    with pytest.raises(InputError, match="another version of the recipe"):
        train(changed, tmp_path / "run", qat=True, origin=trained.run)


def test_the_command_states_both_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, run = write_tabular(tmp_path / "recipe"), tmp_path / "run"
    quick = ["--set", "max_epochs=1", "--set", "qat_epochs=1", "--set", "folds=2"]
    assert main(["train", str(recipe), "-o", str(run), "--qat", *quick]) == 0
    captured = capsys.readouterr()
    assert "test, int8" in captured.out
    assert "2 folds of the float model" in captured.out
    assert f"{PHASE}: epoch 1 of 1" in captured.err
    again = ["--from", str(run), "--json", "-q"]
    assert main(["train", str(recipe), "-o", str(tmp_path / "b"), "--qat", *quick, *again]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert document["quantized"]["test"]["metrics"]["accuracy"]["n"] == 16
    assert document["qat_epochs"] == 1
