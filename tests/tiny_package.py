"""A complete text-classification package of a few kilobytes, written without torch and onnx.

Its graph answers by the largest token id of a text, so that every answer is known by heart:
logit = max(input_ids) - threshold. `python -m tests.tiny_package FILE` writes the graph again.
"""

import json
import shutil
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, add_variant, staging_directory, write_package
from toolkit.tasks import TaskSpec
from toolkit.tasks.specification import TextSpec
from toolkit.tensors import TensorSpec

GRAPH = Path(__file__).parent / "data" / "max_token.onnx"
THRESHOLD = 5
VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "bad": 2, "film": 3, "good": 9}
LABELS = ("negative", "positive")


def write_graph(file: Path) -> None:
    """Write the graph; this alone needs onnx."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMax", ["input_ids", "last_axis"], ["largest"], keepdims=1),
        helper.make_node("Cast", ["largest"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["as_float", "threshold"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "max_token",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [
            helper.make_tensor("last_axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("threshold", TensorProto.FLOAT, [], [THRESHOLD]),
        ],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def write_tiny_package(
    path: Path, *, items: Sequence[str] = ("funny good film", "bad")
) -> ModelPackage:
    """A package with the variant "fp32", opened; the items are those of its reference."""
    with tempfile.TemporaryDirectory() as folder, replacing(path, force=False) as staging:
        preprocessing, reference, model = (
            Path(folder) / name for name in ("preprocessing", "reference", "model")
        )
        for directory in (preprocessing, reference, model):
            directory.mkdir()
        tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - no secret
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.save(str(preprocessing / "tokenizer.json"))
        token_ids = np.array([[1, 9, 3], [2, 0, 0]])
        np.savez(reference / "inputs.npz", input_ids=token_ids)
        (reference / "items.json").write_text(json.dumps(items))
        logits = token_ids.max(axis=1, keepdims=True) - np.float32(THRESHOLD)
        np.savez(reference / "outputs.npz", logits=logits.astype(np.float32))
        shutil.copy(GRAPH, model / "model.onnx")
        contents = Contents(
            task=TaskSpec(
                name="text-classification",
                labels=LABELS,
                output="logits",
                activation="sigmoid",
                text=TextSpec(max_length=16, pad_id=0, pad_token="[PAD]"),  # noqa: S106 - no secret
            ),
            source=Source(kind="run", name=GRAPH.name, sha256="0" * 64, exporter="", versions={}),
        )
        part = Part(
            model=model,
            inputs=(TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),),
            outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 1)),),
            reference=reference,
            parity={"max_abs_error": 0.0, "limit": 1e-4, "shapes": [[1, 2], [3, 5]]},
        )
        write_package(
            staging,
            name=path.name,
            contents=contents,
            parts=[part],
            assets={"preprocessing": preprocessing},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return ModelPackage.open(path)


def add_preferred_variant(
    package: ModelPackage, *, name: str, threshold: int, limit: float
) -> ModelPackage:
    """The package with one more variant in front, which answers by another threshold."""
    before, after = (struct.pack("<f", value) for value in (THRESHOLD, threshold))
    graph = GRAPH.read_bytes()
    assert graph.count(before) == 1
    with staging_directory(package) as staging:
        model = staging / "model"
        model.mkdir()
        (model / "model.onnx").write_bytes(graph.replace(before, after))
        return add_variant(
            package,
            model,
            name=name,
            precision="int8",
            method="dynamic",
            parent="fp32",
            parity={"max_abs_error": abs(threshold - THRESHOLD), "limit": limit},
            details={"candidates": [{"name": name, "kept": True, "drop": None}]},
            step="quantize",
            preferred=True,
        )


if __name__ == "__main__":
    write_graph(Path(sys.argv[1]))
