"""Static int8: scales of activations fixed beforehand, on calibration data."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.quantize.context import Context, contained
from toolkit.quantize.observing import RangeMethod, Ranges, observed_ranges
from toolkit.quantize.smoothing import migrate_scales
from toolkit.quantize.weights import quantize_weights

PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
"""Where integer kernels save time. In a graph without convolutions they are all that is quantized:
sums and normalizations between them gain nothing and lose precision."""

_QUANTIZE_LINEAR_PER_AXIS = 13
_TYPES_OF_16_BITS = 21
"""Opsets that brought these."""


def static(
    ranges: RangeMethod, *, symmetric: bool = False, bits: int = 8, smooth: bool = False
) -> Callable[[Path, Path, Context], int]:
    """The quantizer with these settings.

    Args:
        ranges: How ranges are chosen; see `observed_ranges`.
        symmetric: Zero is the middle of the range of an activation.
        bits: Of an activation, 8 or 16.
        smooth: Migrate scales from wide activations into weights first; see `migrate_scales`.
    """

    def apply(model: Path, target: Path, context: Context) -> int:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.onnx"
            changed = migrate_scales(model, source, context) if smooth else 1
            if not changed:
                return 0
            return _quantize(
                source if smooth else model,
                target,
                context,
                ranges=ranges,
                symmetric=symmetric,
                bits=bits,
            )

    return apply


def _quantize(
    model: Path,
    target: Path,
    context: Context,
    *,
    ranges: RangeMethod,
    symmetric: bool,
    bits: int,
) -> int:
    """Write pairs of QuantizeLinear and DequantizeLinear around what computes in int8.

    Weights are int8 with a scale a channel, look-up tables int8 with a scale a row.

    Returns:
        How many nodes read quantized weights, and tables.
    """
    import onnx
    from onnxruntime.quantization.registry import QDQRegistry

    proto = onnx.load(model)
    present = {node.op_type for node in proto.graph.node}
    has_convolutions = bool(present & {"Conv", "ConvTranspose"})
    operators = sorted(present & {*(QDQRegistry if has_convolutions else PRODUCTS)})
    if not present & {*PRODUCTS}:
        return 0
    _raise_opset(proto, _TYPES_OF_16_BITS if bits == 16 else _QUANTIZE_LINEAR_PER_AXIS)
    with tempfile.TemporaryDirectory() as folder:
        source, quantized = Path(folder) / "source.onnx", Path(folder) / "quantized.onnx"
        onnx.save(proto, source)
        found = observed_ranges(
            source, context.data.feeds(), ranges, symmetric=symmetric, operators=operators
        )
        # Attention's own products stay float: two rounded activations cost more than they gain.
        kept = {*context.keep, *_products_of_activations(proto)}
        with contained():
            _write_pairs(
                source,
                quantized,
                found,
                keep=kept,
                is_portable=context.is_portable,
                operators=operators,
                symmetric=symmetric,
                bits=bits,
            )
        made = onnx.load(quantized)
        count = _products_in_integers(made)
        del made.graph.value_info[:]
        onnx.save(made, quantized)
        tables = quantize_weights(quantized, target, keep=context.keep, tables_only=True)
    return count + tables if count else 0


def _write_pairs(
    source: Path,
    target: Path,
    ranges: Ranges,
    *,
    keep: set[str],
    is_portable: bool,
    operators: list[str],
    symmetric: bool,
    bits: int,
) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    signed, unsigned = (
        (QuantType.QInt8, QuantType.QUInt8) if bits == 8 else (QuantType.QInt16, QuantType.QUInt16)
    )
    cache = target.with_name("ranges.json")
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, ranges), cache)
    options: dict[str, Any] = {
        "ActivationSymmetric": symmetric,
    }
    if not {*operators} - {*PRODUCTS}:
        # What follows computes in float: rounding its input would cost precision for nothing.
        options["OpTypesToExcludeOutputQuantization"] = [*PRODUCTS]
    quantize_static(
        source,
        target,
        None,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=operators,
        per_channel=True,
        reduce_range=is_portable,
        activation_type=signed if symmetric else unsigned,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=sorted(keep),
        calibrate_method=CalibrationMethod.MinMax,
        extra_options=options,
        calibration_cache_path=cache,
    )


def _raise_opset(model: Any, least: int) -> None:
    """Bring the graph to an opset in place, where it is older."""
    import onnx

    found = next((one for one in model.opset_import if one.domain in {"", "ai.onnx"}), None)
    if found is not None and found.version < least:
        raised = onnx.version_converter.convert_version(model, least)
        model.CopyFrom(raised)


def _products_of_activations(model: Any) -> set[str]:
    """Names of the products whose second factor is no weight."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        node.name
        for node in model.graph.node
        if node.op_type in PRODUCTS and node.input[1] not in stored
    }


def _products_in_integers(model: Any) -> int:
    """Products whose both factors come from DequantizeLinear."""
    made = {
        output
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    return sum(
        node.op_type in PRODUCTS and all(name in made for name in node.input[:2])
        for node in model.graph.node
    )
