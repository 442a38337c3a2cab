"""A package of two tiny graphs, as encoder-decoder models have them.

The encoder makes `states = float(input_ids)`; the decoder adds the largest state of a row to its
largest token and a bias, so that every answer is known by heart.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from toolkit.npz import write_npz
from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, add_variant, staging_directory, write_package
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array, TensorSpec

IDS = np.array([[1, 9, 3], [2, 0, 0]])
DECODER_IDS = np.array([[4], [5]])
STATES = IDS.astype(np.float32)
LOGITS = np.array([[13.0], [7.0]], np.float32)

_OPSETS = [helper.make_opsetid("", 20)]
_INT64, _FLOAT = TensorProto.INT64, TensorProto.FLOAT
_IDS = TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
_STATES = TensorSpec(name="states", dtype="float32", shape=("batch", "sequence"))
_DECODER_IDS = TensorSpec(name="decoder_ids", dtype="int64", shape=("batch", "target"))
_LOGITS = TensorSpec(name="logits", dtype="float32", shape=("batch", 1))
_PARITY = {"max_abs_error": 0.0, "limit": 1e-4}


def write_encoder(file: Path) -> None:
    """Write states = float(input_ids)."""
    nodes = [helper.make_node("Cast", ["input_ids"], ["states"], to=_FLOAT)]
    graph = helper.make_graph(nodes, "encoder", [_value(_IDS)], [_value(_STATES)])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=_OPSETS), file)


def write_decoder(file: Path, *, bias: float = 0.0) -> None:
    """Write logits = max(states) + max(decoder_ids) + bias."""
    nodes = [
        helper.make_node("ReduceMax", ["states", "last_axis"], ["state"], keepdims=1),
        helper.make_node("ReduceMax", ["decoder_ids", "last_axis"], ["token"], keepdims=1),
        helper.make_node("Cast", ["token"], ["as_float"], to=_FLOAT),
        helper.make_node("Sum", ["state", "as_float", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [_value(_DECODER_IDS), _value(_STATES)],
        [_value(_LOGITS)],
        [
            helper.make_tensor("last_axis", _INT64, [1], [1]),
            helper.make_tensor("bias", _FLOAT, [1], [bias]),
        ],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=_OPSETS), file)


def write_two_components(path: Path) -> ModelPackage:
    """The package, each component with the variant "fp32" and its reference; opened."""
    with tempfile.TemporaryDirectory() as folder, replacing(path, force=False) as staging:
        encoder, decoder = Path(folder, "encoder"), Path(folder, "decoder")
        encoder.mkdir()
        decoder.mkdir()
        write_encoder(encoder / "model.onnx")
        write_decoder(decoder / "model.onnx")
        encoding = _reference(Path(folder, "encoding"), {"input_ids": IDS}, {"states": STATES})
        feeds = {"decoder_ids": DECODER_IDS, "states": STATES}
        decoding = _reference(Path(folder, "decoding"), feeds, {"logits": LOGITS})
        parts = [
            Part(
                component="encoder",
                model=encoder,
                inputs=(_IDS,),
                outputs=(_STATES,),
                reference=encoding,
                parity=_PARITY,
            ),
            Part(
                component="decoder",
                model=decoder,
                inputs=(_DECODER_IDS, _STATES),
                outputs=(_LOGITS,),
                reference=decoding,
                parity=_PARITY,
            ),
        ]
        source = Source(kind="onnx", name="two", sha256="0" * 64, exporter="", versions={})
        write_package(
            staging,
            name=path.name,
            contents=Contents(task=TaskSpec(name="tensors"), source=source),
            parts=parts,
            assets={},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return ModelPackage.open(path)


def add_decoder(package: ModelPackage, *, name: str = "int8", bias: float = 0.0) -> ModelPackage:
    """The package with one more variant of the decoder in front, in focus."""
    view = package.focused("decoder")
    with staging_directory(view) as staging:
        model = staging / "model"
        model.mkdir()
        write_decoder(model / "model.onnx", bias=bias)
        return add_variant(
            view,
            model,
            name=name,
            precision="int8",
            method="dynamic",
            parent="fp32",
            parity=_PARITY,
            details={},
            step="quantize",
            preferred=True,
        )


def _reference(folder: Path, feeds: dict[str, Array], outputs: dict[str, Array]) -> Path:
    folder.mkdir()
    (folder / "inputs.npz").write_bytes(write_npz(feeds))
    (folder / "outputs.npz").write_bytes(write_npz(outputs))
    return folder


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, element, list(spec.shape))
