"""Recurrent layers: one ONNX operator each, right every time in one process."""

from pathlib import Path

import onnx
import pytest
from torch import nn

from tests.export import nets
from toolkit import ModelPackage, export

pytestmark = pytest.mark.torch


def operators(package: Path) -> list[str]:
    model = onnx.load(ModelPackage.open(package).variant("fp32").model)
    return [node.op_type for node in model.graph.node]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_second_and_third_export_are_as_right_as_the_first(
    kind: type[nn.LSTM | nn.GRU], tmp_path: Path
) -> None:
    for number in range(3):
        package = tmp_path / f"{number}.ortpackage"
        report = export(nets.recurrent(kind), package)
        assert len(report.parity.shapes) == 6
        assert operators(package).count(kind.__name__) == 1
        assert "Loop" not in operators(package)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_layers_that_are_stacked_and_run_both_ways_stay_whole(
    kind: type[nn.LSTM | nn.GRU], tmp_path: Path
) -> None:
    package = tmp_path / "a.ortpackage"
    export(nets.recurrent(kind, num_layers=2, bidirectional=True), package)
    assert operators(package).count(kind.__name__) == 2


def test_the_weights_of_an_lstm_are_initializers(tmp_path: Path) -> None:
    package = tmp_path / "a.ortpackage"
    export(nets.recurrent(), package)
    graph = onnx.load(ModelPackage.open(package).variant("fp32").model).graph
    stored = {tensor.name for tensor in graph.initializer}
    lstm = next(node for node in graph.node if node.op_type == "LSTM")
    assert stored.issuperset(lstm.input[1:4])
