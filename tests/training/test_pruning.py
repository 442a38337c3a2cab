import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tests.tiny_package import write_tiny_package
from tests.training.test_distillation import STUDENT
from tests.training.test_resume import stop_at
from tests.training.tiny import weights, write
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError
from toolkit.export.zeros import graph_zeros, zeros_of_pruned
from toolkit.training import Distillation, TrainReport, open_run, train
from toolkit.training.pruning import Pruner, planned

COUNT = 12
"""Weights of the tabular recipe's two layers."""


def zeros(run: Path) -> int:
    found = weights(run)
    return sum(int((found[name] == 0).sum()) for name in ("inner.weight", "outer.weight"))


@pytest.mark.parametrize("share, expected", [(0.25, 3), (0.9, 11)])
def test_the_run_has_the_share_of_zeros_and_says_so(
    recipe: Path, tmp_path: Path, share: float, expected: int
) -> None:
    report = train(recipe, tmp_path / "run", prune=share)
    assert zeros(tmp_path / "run") == expected
    record = open_run(tmp_path / "run").record.pruning
    assert record is not None
    assert record == report.pruning
    assert (record.share, record.weights, record.zeros) == (share, COUNT, expected)
    assert record.reached == pytest.approx(expected / COUNT, abs=1e-4)
    # 5 biases, which are no weights.
    assert record.parameters == COUNT + 5
    assert 0 < record.weights_gzip_bytes < record.weights_bytes


def test_no_epoch_before_the_last_zeros_is_the_best(recipe: Path, tmp_path: Path) -> None:
    report = train(recipe, tmp_path / "run", prune=0.9, settings={"max_epochs": 6})
    with (tmp_path / "run" / "curve.csv").open(newline="") as file:
        curve = [
            (float(row["zeros"]), float(row["validation_loss"])) for row in csv.DictReader(file)
        ]
    shares = [share for share, _ in curve]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] == pytest.approx(11 / COUNT, abs=1e-4)
    able = [loss for share, loss in curve if share == shares[-1]]
    assert curve[report.best_epoch - 1] == (shares[-1], min(able))


def test_patience_waits_for_the_last_zeros(recipe: Path, tmp_path: Path) -> None:
    still = {"patience": 1, "max_epochs": 10, "optimizer": "sgd", "learning_rate": 1e-30}
    assert train(recipe, tmp_path / "plain", settings=still).epochs == 2
    pruned = train(recipe, tmp_path / "run", settings=still, prune=0.5)
    assert 5 <= pruned.epochs < 10
    assert zeros(tmp_path / "run") == 6


def test_a_moving_average_holds_the_zeros_too(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", prune=0.5, settings={"average": 0.95})
    assert zeros(tmp_path / "run") == 6


def test_the_same_seed_gives_the_same_zeros(recipe: Path, tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        train(recipe, tmp_path / name, prune=0.5, seed=seed)
        found.append(weights(tmp_path / name))
    same = [
        all(np.array_equal(found[0][name], other[name]) for name in found[0]) for other in found[1:]
    ]
    assert same == [True, False]


@pytest.mark.parametrize(
    "changes", [{}, {"average": 0.9, "optimizer": "adamw", "l2": 0.1}, {"folds": 2}], ids=str
)
@pytest.mark.parametrize("epoch", [2, 5])
def test_a_resumed_training_keeps_its_zeros(
    recipe: Path, tmp_path: Path, changes: dict[str, object], epoch: int
) -> None:
    settings = {"max_epochs": 6} | changes
    train(recipe, tmp_path / "whole", settings=settings, prune=0.75)
    run, stop = tmp_path / "run", stop_at(epoch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, settings=settings, prune=0.75, progress=stop)
    train(recipe, run, settings=settings, prune=0.75, resume=True)
    expected, found = weights(tmp_path / "whole"), weights(run)
    assert zeros(run) == 9
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_resuming_with_another_share_is_refused(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, prune=0.5, progress=stop_at(2, KeyboardInterrupt()))
    with pytest.raises(InputError, match=r"--prune is 0\.75") as caught:
        train(recipe, run, prune=0.75, resume=True)
    assert "0.5" in caught.value.expected
    with pytest.raises(InputError, match="--prune is not given"):
        train(recipe, run, resume=True)


def test_pruned_and_taught_at_once(tmp_path: Path) -> None:
    teacher = write_tiny_package(tmp_path / "teacher.ortpackage").path
    student = write(tmp_path / "student", STUDENT)
    report: TrainReport = train(
        student,
        tmp_path / "run",
        distillation=Distillation(teacher=teacher, weight=1.0),
        prune=0.5,
        settings={"max_epochs": 8},
    )
    assert report.metrics["test"].metrics["accuracy"].value == 1.0
    assert report.pruning is not None
    assert report.pruning.reached == pytest.approx(0.5, abs=0.02)


def test_the_share_grows_by_a_cubic() -> None:
    shares = [planned(step, 0.8, begin=10, end=30) for step in (5, 10, 20, 30, 40)]
    assert shares == pytest.approx([0.0, 0.0, 0.8 * (1 - 0.5**3), 0.8, 0.8])


def test_zeros_of_an_lstm_are_what_it_computes_with() -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, batch_first=True)
    pruner = Pruner(module, 0.5, steps=4)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    rows = torch.randn(2, 5, 3)
    held: list[torch.Tensor] = []
    for _ in range(6):
        optimizer.zero_grad()
        module(rows)[0].square().sum().backward()
        pruner.drop_gradients()
        if held:  # what the step before has left
            gradients = [w.grad for w in module.parameters() if w.ndim > 1 and w.grad is not None]
            at_zeros = torch.cat([g.flatten() for g in gradients])[held[-1] == 0]
            assert not at_zeros.any()
        optimizer.step()
        pruner.step()
        assert not any((torch.signbit(w) & (w == 0)).any() for w in module.parameters())
        held.append(torch.cat([w.detach().flatten() for w in module.parameters() if w.ndim > 1]))
    total = sum(w.numel() for w in module.parameters() if w.ndim > 1)
    assert int((held[-1] == 0).sum()) == total // 2
    assert torch.equal(held[2] == 0, held[-1] == 0)
    same = nn.LSTM(3, 4, batch_first=True)
    same.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(rows)[0], same(rows)[0])


def test_biases_and_frozen_weights_are_left_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[0].weight.requires_grad = False
    pruner = Pruner(module, 0.95, steps=2)
    for _ in range(2):
        pruner.step()
    counts = [int((parameter == 0).sum()) for parameter in module.parameters()]
    assert counts == [0, 0, 15, 0]


def test_a_model_without_weights_and_a_share_without_meaning_are_refused(
    recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no weights"):
        Pruner(nn.LayerNorm(3), 0.5, steps=2)
    with pytest.raises(InputError, match=r"0\.99") as caught:
        train(recipe, tmp_path / "run", prune=0.99)
    assert "0.95" in caught.value.expected
    assert main(["train", str(recipe), "-o", str(tmp_path / "run"), "--prune", "0.99"]) == 2


def test_the_command_says_what_zeros_buy(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe), "-o", str(tmp_path / "run"), "--prune", "0.5", "--force"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "50.0% of 12 weights are zero" in printed
    assert "no faster" in printed
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pruning"]["zeros"] == 6


@pytest.mark.slow
def test_the_exported_graph_has_the_zeros(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(recipe, tmp_path / "run", prune=0.75)
    package = tmp_path / "pruned.ortpackage"
    assert main(["export", str(tmp_path / "run"), "-o", str(package), "--json"]) == 0
    graph = onnx.load(package / "model" / "fp32" / "model.onnx").graph
    matrices = [numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) > 1]
    counted = sum(int((matrix == 0).sum()) for matrix in matrices if matrix.dtype == np.float32)
    said = json.loads(capsys.readouterr().out)["zeros"]
    assert said["zeros"] == counted == 9
    assert said["weights"] == COUNT


def test_a_graph_that_lost_its_zeros_is_not_published(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.array([[0, 1], [0, 2]], np.float32), "w")
    graph = onnx.helper.make_graph([], "zeros", [], [], [weight])
    file = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=10), file)
    assert (graph_zeros(file).weights, graph_zeros(file).zeros) == (4, 2)
    assert zeros_of_pruned([file], {}) is None
    kept = zeros_of_pruned([file], {"pruning": {"zeros": 2}})
    assert kept is not None
    assert kept.share == 0.5
    with pytest.raises(CheckFailedError, match="2 weights"):
        zeros_of_pruned([file], {"pruning": {"zeros": 3}})
