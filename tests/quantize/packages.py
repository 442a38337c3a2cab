"""A text classifier with weights worth quantizing: embedding, mean, MatMul, Gemm."""

import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, load_model, numpy_helper, save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from toolkit import load
from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, write_package
from toolkit.quantize.context import Context
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec, TextSpec
from toolkit.tensors import TensorSpec

WORDS = [f"w{i}" for i in range(200)]
LABELS = ("no", "yes")


def write_graph(file: Path, *, seed: int = 0, width: int = 32, spread: float = 1.0) -> None:
    """Logits = Gemm(Relu(MatMul(mean over tokens of embedding))); larger spread, wider logits."""
    rng = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"], axis=0),
        helper.make_node("ReduceMean", ["embedded", "one"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "inner"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "outer", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [
            weight("table", len(WORDS), width),
            weight("inner", width, 1024),
            weight("outer", len(LABELS), 1024),
            numpy_helper.from_array(np.zeros(len(LABELS), np.float32), "bias"),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
    )
    for tensor in graph.initializer:
        if tensor.name == "table":
            table = numpy_helper.to_array(tensor) * np.float32(spread)
            tensor.CopyFrom(numpy_helper.from_array(table, "table"))
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    checker.check_model(model, full_check=True)
    save(model, file)


def write_words_package(path: Path, **graph: float) -> ModelPackage:
    """The package with the variant fp32."""
    with tempfile.TemporaryDirectory() as folder, replacing(path, force=False) as staging:
        names = ("preprocessing", "reference", "model")
        preprocessing, reference, model = (Path(folder) / name for name in names)
        for directory in (preprocessing, reference, model):
            directory.mkdir()
        vocabulary = {word: i for i, word in enumerate(WORDS)}
        tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="w0"))  # noqa: S106 - no secret
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.save(str(preprocessing / "tokenizer.json"))
        write_graph(model / "model.onnx", **graph)  # type: ignore[arg-type]
        ids = np.random.default_rng(1).integers(0, len(WORDS), (8, 5))
        session = open_session(model / "model.onnx", SessionOptions())
        np.savez(reference / "inputs.npz", input_ids=ids)
        np.savez(reference / "outputs.npz", logits=session.run({"input_ids": ids})["logits"])
        contents = Contents(
            task=TaskSpec(
                name="text-classification",
                labels=LABELS,
                output="logits",
                activation="softmax",
                text=TextSpec(max_length=16, pad_id=0, pad_token="w0"),  # noqa: S106 - no secret
            ),
            source=Source(kind="onnx", name="words", sha256="0" * 64, exporter="", versions={}),
        )
        part = Part(
            model=model,
            inputs=(TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),),
            outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),),
            reference=reference,
            parity={"max_abs_error": 0.0, "limit": 1e-4},
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


def write_data(file: Path, package: Path, *, rows: int = 60, wrong: int = 0) -> Path:
    """Sentences of five words, labeled as the package answers but for the first `wrong` ones."""
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice(WORDS, 5)) for _ in range(rows)]
    labels = [result["label"] for result in load(package).batch(texts)]
    other = {"no": "yes", "yes": "no"}
    labels = [other[label] if i < wrong else label for i, label in enumerate(labels)]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(zip(texts, labels, strict=True))
    return file


def copy_package(package: ModelPackage, path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(package.path, path)
    return path


def ruin(model: Path, target: Path, context: Context) -> int:
    """A quantizer that turns every answer into the first label."""
    proto = load_model(model)
    for tensor in proto.graph.initializer:
        if tensor.name == "bias":
            bias = numpy_helper.to_array(tensor).copy()
            bias[0] += 1e6
            tensor.CopyFrom(numpy_helper.from_array(bias, "bias"))
    save(proto, target)
    return 1
