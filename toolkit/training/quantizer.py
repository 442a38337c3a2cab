"""Which tensors quantization-aware training quantizes, and on which steps: torchao's vocabulary.

Scales are powers of two and zero points even. A sum of products of 8-bit numbers then has no
rounding error in float32 either (below 2^24 of its smallest step), a division by the scale has
none, and a value half way between two steps goes to the same one whether the zero point is added
before or after rounding. So PyTorch's float arithmetic and ONNX Runtime's integer kernels give the
same bits in convolutions, matrix products, ReLU and additions. It costs up to one bit of
resolution, which the weights learn to live with.

Importing this module needs torchao, which talks while it is imported: see `fake_quantization`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
)

_CUT = 0.25
"""A range may lose up to 2^0.25 of its width, 16 %, for steps of half the size."""
_AVERAGING = 0.05
"""Share of a batch's range in the moving average, which settles within about 60 batches."""

_LINEAR = torch.ops.aten.linear.default
_EMBEDDING = torch.ops.aten.embedding.default
_LARGE_TABLE = 2**16
"""Numbers of an embedding above which it becomes int8: below, there is no size to be saved."""
_CONVOLUTIONS = {torch.ops.aten.conv1d.default, torch.ops.aten.conv2d.default}
_ADDITIONS = {torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor}
_RELUS = {torch.ops.aten.relu.default, torch.ops.aten.relu_.default}
PRODUCTS = {_LINEAR, *_CONVOLUTIONS}
"""Operators whose weights become int8."""
_KEY = "quantization_annotation"  # where torchao looks for it in a node's meta


class ActivationObserver(MovingAverageMinMaxObserver):  # type: ignore[misc]  # torchao is untyped
    """A moving average of the batches' ranges, as a power of two and an even zero point."""

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """float32[1] scale and int64[1] zero point."""
        exact, _ = super().calculate_qparams()
        low = self.min_val.clamp(max=0)
        width = (self.max_val.clamp(min=0) - low).clamp(min=torch.finfo(torch.float32).tiny)
        steps = self.quant_max - self.quant_min
        zero_point = 2 * torch.round(low.neg() / width * steps / 2).to(torch.int64)
        highest = self.quant_max - self.quant_max % 2
        return power_of_two(exact), zero_point.reshape(1).clamp(self.quant_min, highest)


class WeightObserver(MovingAveragePerChannelMinMaxObserver):  # type: ignore[misc]  # the same
    """The range of each output channel as it is now, as a power of two."""

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """float32[channels] scales and int64[channels] zero points, all 0."""
        exact, zero_points = super().calculate_qparams()
        return power_of_two(exact), zero_points


def power_of_two(scale: Tensor) -> Tensor:
    """The power of two above a scale, or the one below where that is at most `_CUT` octaves away.

    Args:
        scale: float32[any], above 0.
    """
    exponent = torch.ceil(torch.log2(scale) - _CUT).clamp(-126, 127).to(torch.int32)
    return ((exponent + 127) << 23).view(torch.float32)  # the bits; exp2 may miss the last one


ACTIVATION = QuantizationSpec(
    dtype=torch.uint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=ActivationObserver.with_args(averaging_constant=_AVERAGING)
    ),
)
"""uint8 per tensor: the type that VNNI multiplies by int8 weights."""
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=WeightObserver.with_args(averaging_constant=1.0)
    ),
)
"""int8 per output channel, symmetric."""
TABLE = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver.with_args(averaging_constant=1.0)
    ),
)
"""int8 per row of an embedding, with the scale that fits: a row is read, and enters no product."""


class EdgeQuantizer(Quantizer):  # type: ignore[misc]  # torchao is untyped
    """What ONNX Runtime's CPU has integer kernels for, and nothing else.

    Inputs and weights of linear layers (MatMulIntegerToFloat, QGemm), inputs, weights and outputs
    of convolutions (QLinearConv) and of the additions behind them (QLinearAdd). A linear layer's
    output stays float, for what follows is LayerNorm, softmax or GELU. Large embeddings become int8
    for their size alone.
    """

    def annotate(self, model: GraphModule) -> GraphModule:
        """Write the specifications where torchao looks for them."""
        quantized: set[Node] = set()
        for node in model.graph.nodes:
            if node.target in PRODUCTS and node.args[1].op == "get_attr":
                _annotate(node, {node.args[0]: ACTIVATION, node.args[1]: WEIGHT})
                if node.target in _CONVOLUTIONS:
                    quantized.add(_quantize_output(node))
            elif node.target == _EMBEDDING and _numbers(node.args[0]) > _LARGE_TABLE:
                _annotate(node, {node.args[0]: TABLE})
            elif node.target in _ADDITIONS and quantized.intersection(node.args):
                if not all(isinstance(term, Node) and _is_float(term) for term in node.args):
                    continue
                _annotate(node, dict.fromkeys(node.args, ACTIVATION))
                quantized.add(_quantize_output(node))
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing: what is annotated is what was matched."""


def _annotate(node: Node, inputs: dict[Any, QuantizationSpec]) -> None:
    node.meta[_KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)


def _quantize_output(node: Node) -> Node:
    """Quantize what leaves a node, behind its ReLU where that is all that reads it."""
    users = [*node.users]
    if len(users) == 1 and users[0].target in _RELUS:
        node = users[0]
        _annotate(node, {})
    node.meta[_KEY].output_qspec = ACTIVATION
    return node


def _numbers(node: Node) -> int:
    value = node.meta.get("val")
    return value.numel() if node.op == "get_attr" and isinstance(value, Tensor) else 0


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()
