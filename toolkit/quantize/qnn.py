"""Static quantization as QNN takes it: every operator between bytes or numbers of 16 bits."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from toolkit.errors import InputError
from toolkit.quantize.context import quieted
from toolkit.tensors import Feeds

if TYPE_CHECKING:
    from onnx import ModelProto

LEAST = -50.0
"""What a mask's "minus infinity" becomes: exp(-50) is 2e-22, and no range has to hold 1e38."""

_TYPES_OF_16_BITS = 21
"""The opset whose QuantizeLinear makes them; before, it takes an operator of ONNX Runtime's own."""

_ENDLESS = 1e9
"""Constants beyond are masks, not numbers."""


def quantize_for_qnn(
    model: Path, target: Path, feeds: Sequence[Feeds], *, bits: Literal[8, 16]
) -> None:
    """Write pairs of QuantizeLinear and DequantizeLinear where QNN wants them.

    Weights are bytes, of convolutions with a scale a channel; activations are bytes or 16-bit
    numbers, with ranges by MinMax. The rest is what `onnxruntime.quantization` (1.31) knows of QNN:
    weights' types in MatMul and LayerNormalization, the fixed scales of 16-bit Sigmoid and Tanh.

    Args:
        model: A float32 graph whose shapes are fixed.
        target: Where the new one is written; may be the same file.
        feeds: What ranges are measured on, one run after the other.
        bits: Of an activation.

    Raises:
        InputError: The graph cannot be quantized.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize
    from onnxruntime.quantization.execution_providers.qnn import (
        get_qnn_qdq_config,
        qnn_preprocess_model,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self._feeds: Iterator[Feeds] = iter(feeds)

        def get_next(self) -> Feeds | None:
            return next(self._feeds, None)

    with tempfile.TemporaryDirectory() as folder, quieted():
        bounded, fused, made = (Path(folder) / f"{name}.onnx" for name in ("b", "f", "q"))
        proto = onnx.load(model)
        _bound_masks(proto)
        try:
            if bits == 16 and _opset(proto) < _TYPES_OF_16_BITS:
                proto = onnx.version_converter.convert_version(proto, _TYPES_OF_16_BITS)
            onnx.save(proto, bounded)
            source = fused if qnn_preprocess_model(bounded, fused) else bounded
            config = get_qnn_qdq_config(
                source,
                Reader(),
                activation_type=QuantType.QUInt8 if bits == 8 else QuantType.QUInt16,
                weight_type=QuantType.QUInt8,
                per_channel=True,
            )
            quantize(source, made, config)
        except OSError:  # a full disk is no property of the graph
            raise
        except Exception as error:  # whatever the library makes of a graph
            raise InputError(
                f"the graph cannot be quantized for QNN: {error}",
                expected="a graph that onnxruntime's quantizer takes",
                fix="--precision fp16",
            ) from error
        target.write_bytes(made.read_bytes())


def _opset(model: "ModelProto") -> int:
    return next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 0)


def _bound_masks(model: "ModelProto") -> None:
    """Replace what stands for minus infinity in constants, in place."""
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and (values < -_ENDLESS).any():
            bounded = np.maximum(values, np.float32(LEAST))
            tensor.CopyFrom(numpy_helper.from_array(bounded, tensor.name))
