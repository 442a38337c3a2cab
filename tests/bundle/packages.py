"""Packages of every kind of task that has an app, of a few kilobytes each."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from toolkit.export.references import write_reference
from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, write_package
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import ImageSpec, TaskSpec, TextSpec, open_task
from toolkit.tasks.tabular import CategoricalColumn, FeatureTable, NumericColumn
from toolkit.tensors import Array

LABELS = ("no", "yes", "perhaps")
PIECES = ["[unused]", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "film", "good", "bad", "un", "##ed"]
PIECES += [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
TEXT = TextSpec(max_length=12, pad_id=1, pad_token="[PAD]")  # noqa: S106 - no secret
TABLE = FeatureTable(
    columns=(
        NumericColumn(name="area", fill=7.5),
        CategoricalColumn(name="roof", levels=("flat", "gable"), unknown="other"),
        NumericColumn(name="rooms"),
    )
)


def word_pieces() -> Tokenizer:
    """A WordPiece tokenizer with special tokens around a text, or two."""
    vocabulary = {piece: i for i, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(PIECES[1:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 3), ("[SEP]", 4)],
    )
    return tokenizer


def write_text_graph(file: Path, *, output: str = "logits", rows: int = len(PIECES)) -> None:
    """Logits of the mean over real tokens of table[ids] + kinds[types]; or the sums themselves."""
    rng = np.random.default_rng(0)
    dtypes = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), TensorProto.INT64)
    states = "last_hidden_state" if output == "last_hidden_state" else "states"
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"], name="look_up"),
        helper.make_node("Gather", ["kinds", "token_type_ids"], ["sides"]),
        helper.make_node("Add", ["words", "sides"], [states]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["mask"]),
        helper.make_node("Mul", [states, "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "second"], ["summed"], keepdims=0),
        helper.make_node("Div", ["summed", "length"], ["logits"]),
    ]
    is_pooled = output != "last_hidden_state"
    shape = ["batch", 3] if is_pooled else ["batch", "sequence", 3]
    _save(
        file,
        nodes if is_pooled else nodes[:3],
        dtypes,
        {output: shape},
        {
            "table": rng.standard_normal((rows, 3)).astype(np.float32) * 4,
            "kinds": rng.standard_normal((2, 3)).astype(np.float32),
            "length": np.array(3, np.float32),
            "last": np.array([2]),
            "second": np.array([1]),
        },
        shape=["batch", "sequence"],
    )


def text_package(
    path: Path,
    *,
    items: Sequence[Any] = ("good film", "unfilmed"),
    tokenizer: Tokenizer | None = None,
    output: str = "logits",
    graph: Callable[[Path], None] | None = None,
    **task: Any,
) -> ModelPackage:
    """A package of texts; softmax over `LABELS` if nothing else is said."""
    spec = {"name": "text-classification", "labels": LABELS, "activation": "softmax", **task}
    return write(
        path,
        graph or (lambda file: write_text_graph(file, output=output)),
        TaskSpec(text=TEXT, output=output, **spec),
        items,
        tokenizer=tokenizer or word_pieces(),
    )


def table_package(path: Path, *, rows: Sequence[Any], **task: Any) -> ModelPackage:
    """A package of rows: sums of the numbers and of the indexes of levels, each times 0.01."""

    def graph(file: Path) -> None:
        nodes = [
            helper.make_node("Cast", ["categorical"], ["indexes"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["numeric", "indexes"], ["all"], axis=1),
            helper.make_node("MatMul", ["all", "weight"], ["answer"]),
        ]
        is_one_logit = task.get("activation") == "sigmoid" and not task.get("multi_label")
        outputs = 1 if is_one_logit else max(1, len(task.get("labels", ())))
        weight = np.linspace(0.01, 0.02, 3 * outputs, dtype=np.float32).reshape(3, outputs)
        graph = helper.make_graph(
            nodes,
            "table",
            [
                helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["batch", 2]),
                helper.make_tensor_value_info("categorical", TensorProto.INT64, ["batch", 1]),
            ],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", outputs])],
            [numpy_helper.from_array(weight, "weight")],
        )
        _checked(graph, file)

    return write(path, graph, TaskSpec(output="answer", **task), rows, table=TABLE)


def picture_package(
    path: Path, *, image: ImageSpec, pictures: Sequence[Any], kind: int = TensorProto.FLOAT
) -> ModelPackage:
    """A package of pictures of 4 x 5 pixels; the logits are three of their sums.

    The graph takes them as `kind`, an element type of ONNX.
    """
    channels = len(image.mode)

    def graph(file: Path) -> None:
        nodes = [
            helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["values"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ]
        rng = np.random.default_rng(3)
        weight = rng.standard_normal((channels * 20, 3)).astype(np.float32)
        _save(
            file,
            nodes,
            {"pixels": kind},
            {"logits": ["batch", 3]},
            {"weight": weight},
            shape=["batch", channels, 4, 5],
        )

    spec = TaskSpec(
        name="image-classification",
        labels=LABELS,
        output="logits",
        activation="softmax",
        image=image,
    )
    return write(path, graph, spec, pictures)


def write(
    path: Path,
    graph: Callable[[Path], None],
    task: TaskSpec,
    items: Sequence[Any],
    *,
    tokenizer: Tokenizer | None = None,
    table: FeatureTable | None = None,
) -> ModelPackage:
    """A package with the variant fp32, whose reference items are these."""
    with tempfile.TemporaryDirectory() as temporary, replacing(path, force=False) as staging:
        model, preprocessing, reference = (Path(temporary, name) for name in "mpr")
        for folder in (model, preprocessing, reference):
            folder.mkdir()
        graph(model / "model.onnx")
        if tokenizer is not None:
            tokenizer.save(str(preprocessing / "tokenizer.json"))
        if table is not None:
            table.write(preprocessing / "features.json")
        session = open_session(model / "model.onnx", SessionOptions())
        given = [np.asarray(item, np.uint8) if task.image else item for item in items]
        feeds = open_task(task, preprocessing, session.inputs).encode(given)
        write_reference(reference, feeds, session.run(feeds), items)
        write_package(
            staging,
            name=path.name,
            contents=Contents(
                task=task,
                source=Source(kind="onnx", name="test", sha256="0" * 64, exporter="", versions={}),
            ),
            parts=[
                Part(
                    model=model,
                    inputs=session.inputs,
                    outputs=session.outputs,
                    reference=reference,
                    parity={"max_abs_error": 0.0, "limit": 1e-4},
                )
            ],
            assets={"preprocessing": preprocessing} if tokenizer or table else {},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return ModelPackage.open(path)


def _save(
    file: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, int],
    outputs: dict[str, list[Any]],
    constants: dict[str, Array],
    *,
    shape: list[Any],
) -> None:
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        [*nodes],
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(v, name) for name, v in constants.items() if name in read],
    )
    _checked(graph, file)


def _checked(graph: Any, file: Path) -> None:
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    checker.check_model(model, full_check=True)
    save(model, file)
