"""How the rows of an activation use the 256 values of an unsigned byte."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir


@dataclass(frozen=True, kw_only=True)
class RowRange:
    """How a row is mapped to uint8: `round(x / peak * levels) + zero_point`.

    Attributes:
        zero_point: The byte of 0.
        levels: Steps between 0 and the row's peak.
        floor: Least peak; keeps rows of zeros finite.
        one_sided: The peak is the maximum; otherwise that of the absolute values.
    """

    zero_point: int
    levels: int
    floor: float
    one_sided: bool


SYMMETRIC = RowRange(zero_point=128, levels=127, floor=1e-8, one_sided=False)
POSITIVE = RowRange(zero_point=0, levels=255, floor=1e-8, one_sided=True)
GELU = RowRange(zero_point=32, levels=223, floor=0.17 * 223 / 32, one_sided=True)
"""GELU is never below -0.17, so 32 steps of at least 0.17 / 32 hold its negative side."""

_POSITIVE = {"Relu", "Sigmoid", "Softmax", "HardSigmoid"}
_GELU = {"Gelu", "FastGelu", "BiasGelu"}


def row_range(activation: "onnx_ir.Value") -> RowRange:
    """What the operator that makes an activation allows."""
    node = activation.producer()
    if node is None:
        return SYMMETRIC
    if node.op_type in _POSITIVE:
        return POSITIVE
    if node.op_type in _GELU or _is_gelu(activation):
        return GELU
    return SYMMETRIC


def _is_gelu(value: "onnx_ir.Value") -> bool:
    """Whether a product is `0.5 * x * (1 + erf(x / sqrt(2)))`, as exporters below opset 20 write.

    Hendrycks and Gimpel 2016, "Gaussian Error Linear Units (GELUs)", equation 1.
    """
    factors = _factors(value)
    constants = [f for f in factors if _number(f) is not None]
    others = [f for f in factors if _number(f) is None]
    if len(constants) != 1 or len(others) != 2 or _number(constants[0]) != 0.5:
        return False
    return any(_is_one_plus_erf(a, of=b) for a, b in (others, others[::-1]))


def _is_one_plus_erf(value: "onnx_ir.Value", *, of: "onnx_ir.Value") -> bool:
    add = value.producer()
    if add is None or add.op_type != "Add":
        return False
    terms = [term for term in add.inputs if term is not None]
    if not any(_number(term) == 1 for term in terms):
        return False
    for term in terms:
        erf = term.producer()
        if erf is not None and erf.op_type == "Erf" and erf.inputs[0] is not None:
            return _is_over_root_two(erf.inputs[0], of=of)
    return False


def _is_over_root_two(value: "onnx_ir.Value", *, of: "onnx_ir.Value") -> bool:
    node = value.producer()
    if node is None or len(node.inputs) != 2 or of not in node.inputs:
        return False
    other = next((i for i in node.inputs if i is not of), None)
    number = None if other is None else _number(other)
    wanted = {"Div": np.sqrt(2), "Mul": 1 / np.sqrt(2)}.get(node.op_type)
    return number is not None and wanted is not None and bool(np.isclose(number, wanted, rtol=1e-4))


def _factors(value: "onnx_ir.Value", depth: int = 2) -> list["onnx_ir.Value"]:
    node = value.producer()
    if node is None or node.op_type != "Mul" or not depth:
        return [value]
    return [f for i in node.inputs if i is not None for f in _factors(i, depth - 1)]


def _number(value: "onnx_ir.Value") -> float | None:
    tensor = value.const_value
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None
