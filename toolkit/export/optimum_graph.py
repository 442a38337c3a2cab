"""A checkpoint's ONNX graph, by optimum-onnx, whose environment is one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.errors import SetupError
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.tensors import Feeds

if TYPE_CHECKING:
    from onnx import ModelProto


def trace(
    source: TorchSource,
    part: TorchPart,
    feeds: Feeds,
    output_names: Sequence[str],
    *,
    opset: int,
) -> ModelProto:
    """The graph that optimum-onnx writes for the checkpoint.

    Raises:
        SetupError: optimum-onnx is not installed.
    """
    raise SetupError(
        "the exporter 'optimum' needs optimum-onnx, which is not installed",
        expected="an environment of its own: its pins exclude those of the extra export",
        fix="pip install 'onnx-edge-toolkit[cpu,optimum]'",
    )
