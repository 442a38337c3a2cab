"""Which variants a step can start from that rounds or rewrites float graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.export.graph import operators, tensors
from toolkit.package import ModelPackage, Variant

if TYPE_CHECKING:
    from onnx import ModelProto

_WRITTEN = {"QuantizeLinear", "MatMulInteger", "ConvInteger", "MatMulNBits", "QGemm"}
_BEGIN = ("DynamicQuantize", "QLinear")

_INTEGERS_AT_MOST = 0.5
"""A file of which integers of 8 bits or fewer make a larger share was quantized before."""

_SIZES = {1: 4, 2: 1, 3: 1, 21: 1, 22: 1}
"""Bytes an element, by TensorProto's type: FLOAT, UINT8, INT8, UINT4 and INT4."""


def has_quantizers(model: ModelProto) -> bool:
    """Whether a graph holds operators that quantizers write."""
    found = operators(model)
    return not found.isdisjoint(_WRITTEN) or any(name.startswith(_BEGIN) for name in found)


def how_quantized(model: ModelProto) -> str:
    """What says that a graph was quantized before; empty where nothing does."""
    if has_quantizers(model):
        return "it holds operators that quantizers write"
    sizes = dict.fromkeys(_SIZES, 0)
    for tensor in tensors(model):
        if tensor.data_type in sizes:
            count = 1
            for size in tensor.dims:
                count *= size
            sizes[tensor.data_type] += count * _SIZES[tensor.data_type]
    total = sum(sizes.values())
    share = (total - sizes[1]) / max(total, 1)
    return f"{share:.0%} of its weights are integers" if share > _INTEGERS_AT_MOST else ""


def float_parent(package: ModelPackage, name: str | None) -> Variant:
    """The variant of that name, or the float one as exported; one that was rounded is refused.

    Args:
        package: The package.
        name: The variant that was asked for, if any.

    Raises:
        InputError: There is none, it is not of precision fp32, or its graph was quantized before.
    """
    import onnx

    found = package.variant(name) if name is not None else package.float_variant()
    precision = found.contents.precision
    if precision != "fp32":
        why = f"is {precision}: its graph is rewritten when it is made"
    else:
        model = onnx.load(package.verified(found), load_external_data=False)
        how = how_quantized(model)
        if not how:
            return found
        why = f"is quantized already: {how}"
    parent = _origin(package, found)
    raise InputError(
        f"variant {found.name!r} {why}",
        expected="a variant of precision fp32",
        fix=f"--variant {parent}" if parent else "toolkit export SOURCE -o NAME.ortpackage",
    )


def _origin(package: ModelPackage, variant: Variant) -> str:
    """The float variant that one was made from, or any other float one; empty where none is."""
    known = {one.name: one for one in package.variants}
    above = variant.contents.parent
    while above in known:
        if known[above].contents.precision == "fp32":
            return above
        above = known[above].contents.parent
    floats = (one for one in known.values() if one.contents.precision == "fp32")
    return next((one.name for one in floats if one.name != variant.name), "")
