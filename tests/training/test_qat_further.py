"""Quantization-aware training that goes on from a run: zeros, settings, and failures."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.training.test_resume import stop_at
from tests.training.tiny import weights
from toolkit.errors import CheckFailedError, InputError
from toolkit.export import export
from toolkit.package import ModelPackage
from toolkit.training import open_run, train

pytestmark = pytest.mark.torch

PHASE = "quantization-aware training"
DIVERGES = {"qat_rate": 1e30, "optimizer": "sgd", "l2": 1}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"average": 0.9}], ids=str)
def test_the_zeros_of_a_pruned_run_stay_in_int8(
    recipe: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    from safetensors.numpy import load_file

    train(recipe, tmp_path / "pruned", prune=0.75)
    run = tmp_path / "run"
    train(recipe, run, qat=True, origin=tmp_path / "pruned", settings=changes)
    before, after = weights(tmp_path / "pruned"), load_file(run / "qat" / "weights.safetensors")
    matrices = ("inner.weight", "outer.weight")
    zeros = {name: before[name] == 0 for name in matrices}
    assert sum(int(at.sum()) for at in zeros.values()) == 9
    for name, at in zeros.items():
        assert not after[f"graph.{name}"][at].any()
    # It has learned something all the same.
    assert any((after[f"graph.{name}"] != before[name]).any() for name in matrices)

    package = export(run, tmp_path / "a.ortpackage").package
    tensors = onnx.load(package / "model" / "int8-qat" / "model.onnx").graph.initializer
    stored = [numpy_helper.to_array(t) for t in tensors if t.data_type == TensorProto.INT8]
    counted = sum(int((value == 0).sum()) for value in stored if value.ndim == 2)
    assert counted >= 9
    details = ModelPackage.open(package).variant("int8-qat").contents.details
    assert (details["zeros"]["zeros"], details["zeros"]["weights"]) == (counted, 12)


@pytest.mark.slow
def test_an_interrupted_one_keeps_the_zeros_when_it_resumes(recipe: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    origin = tmp_path / "pruned"
    train(recipe, origin, prune=0.75)
    train(recipe, tmp_path / "whole", qat=True, origin=origin)
    stop = stop_at(2, KeyboardInterrupt(), phase=PHASE)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", qat=True, origin=origin, progress=stop)
    train(recipe, tmp_path / "run", qat=True, origin=origin, resume=True)
    expected, found = (
        load_file(tmp_path / name / "qat" / "weights.safetensors") for name in ("whole", "run")
    )
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
    "settings", [{"dropout": 0.5}, {"seed": 7}, {"max_epochs": 9}, {"folds": 2}], ids=str
)
def test_settings_that_made_the_run_cannot_be_others(
    recipe: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    origin = tmp_path / "float"
    train(recipe, origin, settings={"max_epochs": 1})
    (name,) = settings
    with pytest.raises(InputError, match=f"'{name}'") as caught:
        train(recipe, tmp_path / "run", qat=True, origin=origin, settings=settings)
    assert "qat_rate" in caught.value.expected
    assert name in caught.value.fix
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float", "recipe"]


@pytest.mark.slow
def test_settings_say_what_the_training_used(recipe: Path, tmp_path: Path) -> None:
    origin = tmp_path / "float"
    train(recipe, origin, settings={"max_epochs": 1})
    further = {"max_epochs": 1, "qat_epochs": 1, "learning_rate": 0.5, "schedule": "linear"}
    train(recipe, tmp_path / "run", qat=True, origin=origin, settings=further)
    record = open_run(tmp_path / "run").record
    assert record.settings["dropout"] == 0.1
    assert record.qat is not None
    assert record.qat.settings["dropout"] == 0
    assert record.qat.settings["learning_rate"] == pytest.approx(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["training", PHASE])
def test_resuming_without_it_is_refused_and_loses_nothing(
    recipe: Path, tmp_path: Path, phase: str
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, qat=True, progress=stop_at(2, KeyboardInterrupt(), phase=phase))
    with pytest.raises(InputError, match="--qat is not given") as caught:
        train(recipe, run, resume=True)
    assert "given, with which" in caught.value.expected
    assert not run.exists()
    train(recipe, run, qat=True, resume=True)
    assert open_run(run).record.qat is not None


@pytest.mark.slow
@pytest.mark.parametrize("from_a_run", [False, True])
def test_a_loss_that_diverges_names_its_own_rate_and_leaves_the_float_model(
    recipe: Path, tmp_path: Path, from_a_run: bool
) -> None:
    run, origin = tmp_path / "run", None
    if from_a_run:
        origin = tmp_path / "float"
        train(recipe, origin, settings={"optimizer": "sgd", "l2": 1})
    with pytest.raises(CheckFailedError, match="epoch 1") as caught:
        train(recipe, run, qat=True, settings=DIVERGES, origin=origin)
    assert caught.value.fix == "--set qat_rate=1e+29 --resume"
    assert not run.exists()
    seen: set[str] = set()
    report = train(
        recipe,
        run,
        qat=True,
        settings=DIVERGES | {"qat_rate": 0.1},
        resume=True,
        origin=origin,
        progress=lambda state: seen.add(state.phase),
    )
    assert seen == {PHASE}
    assert report.qat_epochs == 3
    assert not (tmp_path / ".run.partial").exists()


@pytest.mark.slow
def test_a_weight_that_is_no_number_ends_the_training_as_a_loss_does(
    recipe: Path, tmp_path: Path
) -> None:
    import torch

    train(recipe, tmp_path / "run", qat=True, settings={"max_epochs": 1, "qat_epochs": 1})
    module = open_run(tmp_path / "run").fake_quantized()
    parameter = module.graph.get_parameter("inner.weight")
    parameter.data[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="NaN"):
        module(numeric=torch.zeros(2, 2))
