"""`toolkit bundle --trim`: a smaller vocabulary that answers the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.bundle.packages import LABELS, PIECES, table_package, text_package, word_pieces
from tests.bundle.packages import write_text_graph as write_graph
from tests.quantize.packages import WORDS, write_words_package
from toolkit import bundle, load
from toolkit.bundle import BundleOptions, BundleReport, trimming
from toolkit.bundle.tables import cut_tables
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError
from toolkit.package import ModelPackage
from toolkit.quantize.weights import quantize_table
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec, TextSpec, open_task
from toolkit.tensors import Array

TEXTS = ["good film", "unfilmed bad", "a good unknown 漢 x9"]
LETTERS = 52
SPECIAL = 4


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return file


def trimmed(package: ModelPackage, texts: Path, **options: Any) -> tuple[Path, BundleReport]:
    folder = package.path.with_suffix(".bundle")
    asked = BundleOptions(trim=texts, self_test=False, **options)
    return folder, bundle(package.path, target="python", output=folder, options=asked)


def answers(folder: Path, texts: list[Any]) -> list[Any]:
    """Logits by the graph and the tokenizer of a bundle."""
    about = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    text = TextSpec(max_length=12, pad_id=about["text"]["pad_id"], pad_token="[PAD]")  # noqa: S106
    spec = TaskSpec(name="text-classification", labels=LABELS, output="logits", text=text)
    session = open_session(folder / "model" / "model.onnx", SessionOptions())
    task = open_task(spec, folder / "model", session.inputs)
    return [session.run(task.encode([one]))["logits"].tolist() for one in texts]


def whole(package: ModelPackage, texts: list[Any]) -> list[Any]:
    model = load(package.path)
    return [model.run(model.task.encode([one]))["logits"].tolist() for one in texts]


def table_rows(folder: Path) -> dict[str, list[int]]:
    graph = onnx.load(folder / "model" / "model.onnx").graph
    return {one.name: [*one.dims] for one in graph.initializer}


def test_the_given_texts_are_answered_the_same_by_fewer_tokens(tmp_path: Path, texts: Path) -> None:
    package = text_package(tmp_path / "a.ortpackage", items=["good film", "unfilmed"])
    folder, report = trimmed(package, texts)
    kept = SPECIAL + LETTERS + len(["film", "good", "bad", "un", "##ed"])
    assert table_rows(folder)["table"] == [kept, 3]
    assert table_rows(folder)["kinds"] == [2, 3]
    assert answers(folder, TEXTS) == whole(package, TEXTS)
    (note,) = report.notes
    assert f"{kept} of {len(PIECES)} tokens kept" in note
    assert "of 3 texts none has other tokens" in note
    about = json.loads((folder / "model" / "model.json").read_text())
    assert about["text"]["pad_id"] == 0  # it was 1, behind a token that is gone


def test_words_of_other_texts_are_spelled(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("bad\n")
    folder, _ = trimmed(text_package(tmp_path / "a.ortpackage"), file)
    tokenizer = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    assert tokenizer.encode("bad film 漢").tokens == (
        ["[CLS]", "bad", "f", "##i", "##l", "##m", "[UNK]", "[SEP]"]
    )
    assert tokenizer.get_vocab_size() == SPECIAL + LETTERS + 1


def test_the_self_test_and_fixed_sizes_hold_for_the_trimmed_bundle(
    tmp_path: Path, texts: Path
) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    report = bundle(
        package.path,
        target="python",
        output=tmp_path / "app",
        options=BundleOptions(trim=texts, fix_shapes={"batch": 1, "sequence": 12}),
    )
    assert report.self_test.largest_difference == 0
    assert answers(tmp_path / "app", TEXTS) == whole(package, TEXTS)


def quantized_rows(file: Path) -> None:
    """The table as `quantize` leaves it: int8 rows, scales looked up beside, wide columns apart."""
    write_graph(file)
    model = ir.load(file)
    table = model.graph.initializers["table"]
    assert table.const_value is not None
    content = np.array(table.const_value.numpy())
    content[:, 0] *= 50
    table.const_value = ir.tensor(content, name="table")
    quantize_table(model.graph, table, [node for node, _ in table.uses()])
    del model.graph.initializers["table"]
    ir.save(model, file)


def dequantized_before(file: Path, *, scales: int) -> None:
    """DequantizeLinear in front of the look-up, as a static quantizer leaves it."""
    write_graph(file)
    model = onnx.load(file)
    rng = np.random.default_rng(0)
    shape = () if scales == 1 else (scales,)
    axis = {len(PIECES): 0, 3: 1, 1: 1}[scales]
    stored: dict[str, Array] = {
        "table_int8": rng.integers(-127, 128, (len(PIECES), 3)).astype(np.int8),
        "table_scale": rng.uniform(0.1, 1, shape).astype(np.float32),
        "table_zero": rng.integers(-5, 6, shape).astype(np.int8),
    }
    (old,) = (one for one in model.graph.initializer if one.name == "table")
    model.graph.initializer.remove(old)
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in stored.items())
    node = helper.make_node("DequantizeLinear", [*stored], ["table"], axis=axis)
    model.graph.node.insert(0, node)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


@pytest.mark.parametrize(
    "graph",
    [
        quantized_rows,
        lambda file: dequantized_before(file, scales=len(PIECES)),
        lambda file: dequantized_before(file, scales=3),
        lambda file: dequantized_before(file, scales=1),
    ],
)
def test_quantized_tables_are_cut_with_their_scales(
    graph: Callable[[Path], None], tmp_path: Path, texts: Path
) -> None:
    package = text_package(tmp_path / "a.ortpackage", graph=graph)
    folder, _ = trimmed(package, texts)
    assert answers(folder, TEXTS) == whole(package, TEXTS)
    kept = SPECIAL + LETTERS + 5
    rows = table_rows(folder)
    assert rows["table_int8"] == [kept, 3]
    assert len(PIECES) not in {size for sizes in rows.values() for size in sizes}


def test_a_table_with_more_rows_than_the_tokenizer_has_tokens(tmp_path: Path, texts: Path) -> None:
    package = text_package(
        tmp_path / "a.ortpackage", graph=lambda file: write_graph(file, rows=len(PIECES) + 7)
    )
    folder, _ = trimmed(package, texts)
    assert table_rows(folder)["table"] == [SPECIAL + LETTERS + 5, 3]


def test_words_of_a_word_level_tokenizer_become_unknown_without_reference_texts(
    tmp_path: Path,
) -> None:
    """This package's reference is token ids alone, which mean other tokens after trimming."""
    package = write_words_package(tmp_path / "a.ortpackage")
    given = [" ".join(WORDS[i : i + 3]) for i in range(10, 40, 3)]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(given))
    folder, _ = trimmed(package, file)
    assert table_rows(folder)["table"] == [30 + 1, 32]
    assert answers(folder, given) == whole(package, given)
    assert answers(folder, ["w199 w10"]) == whole(package, ["w0 w10"])
    about = json.loads((folder / "model" / "model.json").read_text())
    assert [case["item"] for case in about["self_test"]["cases"]] == given


@pytest.mark.parametrize("name", ["BertProcessing", "RobertaProcessing", "Sequence"])
def test_special_tokens_get_their_new_ids_in_every_processor(
    name: str, tmp_path: Path, texts: Path
) -> None:
    tokenizer = word_pieces()
    pairs = (("[SEP]", 4), ("[CLS]", 3))
    made: dict[str, Callable[[], Any]] = {
        "BertProcessing": lambda: processors.BertProcessing(*pairs),
        "RobertaProcessing": lambda: processors.RobertaProcessing(*pairs),
        "Sequence": lambda: processors.Sequence([processors.BertProcessing(*pairs)]),
    }
    tokenizer.post_processor = made[name]()
    package = text_package(tmp_path / "a.ortpackage", tokenizer=tokenizer)
    folder, _ = trimmed(package, texts)
    encoded = Tokenizer.from_file(str(folder / "model" / "tokenizer.json")).encode("film")
    assert encoded.tokens == ["[CLS]", "film", "[SEP]"]
    assert encoded.ids == [2, 4, 3]
    assert answers(folder, TEXTS) == whole(package, TEXTS)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_data_files_give_their_texts_and_pairs(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name == "t.csv":
        file.write_text("text,text_pair\ngood film,bad\n")
    else:
        file.write_text('{"text": "good film", "text_pair": "bad"}\n')
    package = text_package(tmp_path / "a.ortpackage", items=[("bad film", "good")])
    folder, _ = trimmed(package, file)
    assert table_rows(folder)["table"][0] == SPECIAL + LETTERS + 3
    assert answers(folder, [("good film", "bad")]) == whole(package, [("good film", "bad")])


@pytest.mark.parametrize("content", [None, "", "good\n\nbad\n", b"\xff\xfe"])
def test_texts_that_cannot_be_read_are_refused(
    content: str | bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    typed = ["bundle", str(package.path), "--target", "python", "--trim", str(file)]
    assert main([*typed, "-o", str(tmp_path / "app")]) == 3
    assert str(file) in capsys.readouterr().err
    assert not (tmp_path / "app").exists()


def test_a_model_without_texts_is_refused(tmp_path: Path, texts: Path) -> None:
    row = {"area": 1, "roof": "flat", "rooms": 2}
    package = table_package(tmp_path / "a.ortpackage", rows=[row], name="tabular-regression")
    with pytest.raises(InputError, match="tabular-regression has no vocabulary"):
        trimmed(package, texts)


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_tokenizers_whose_tokens_depend_on_each_other_are_refused(
    kind: str, tmp_path: Path, texts: Path
) -> None:
    made: dict[str, Callable[[], Any]] = {
        "BPE": lambda: models.BPE({"[UNK]": 0, "a": 1}, [], unk_token="[UNK]"),  # noqa: S106
        "Unigram": lambda: models.Unigram([("[UNK]", 0.0), ("a", -1.0)], 0),
    }
    tokenizer = Tokenizer(made[kind]())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    package = text_package(tmp_path / "a.ortpackage", items=["a"], tokenizer=tokenizer)
    with pytest.raises(InputError, match=kind) as caught:
        trimmed(package, texts)
    assert "WordPiece or WordLevel" in caught.value.expected


def with_node(*inputs: str, kind: str, output: str, **attributes: Any) -> Callable[[Path], None]:
    """The graph with one more reader of something, whose result is an output."""

    def graph(file: Path) -> None:
        write_graph(file)
        model = onnx.load(file)
        model.graph.node.append(helper.make_node(kind, [*inputs], ["more"], "extra", **attributes))
        constants = {"two": np.array(2), "tall": np.ones((3, 1), np.float32)}
        model.graph.initializer.extend(
            numpy_helper.from_array(v, k) for k, v in constants.items() if k in inputs
        )
        element = TensorProto.BOOL if kind == "Equal" else TensorProto.FLOAT
        model.graph.output.append(helper.make_tensor_value_info("more", element, ["batch", output]))
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, file)

    return graph


@pytest.mark.parametrize(
    "graph, named",
    [
        (with_node("table", "tall", kind="MatMul", output="x"), r"MatMul 'extra' .*tied weights"),
        (with_node("input_ids", "two", kind="Equal", output="sequence"), "Equal 'extra' reads"),
    ],
)
def test_another_use_of_the_table_or_of_ids_is_refused(
    graph: Callable[[Path], None], named: str, tmp_path: Path, texts: Path
) -> None:
    package = text_package(tmp_path / "a.ortpackage", graph=graph)
    with pytest.raises(InputError, match=named) as caught:
        trimmed(package, texts)
    assert caught.value.fix == "leave --trim out"
    assert not package.path.with_suffix(".bundle").exists()


def test_what_answers_otherwise_is_not_kept(
    tmp_path: Path, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(file: Path, ids: str, kept: list[int]) -> None:
        cut_tables(file, ids, [0, *kept[:-1]])

    monkeypatch.setattr(trimming, "cut_tables", wrong)
    package = text_package(tmp_path / "a.ortpackage")
    with pytest.raises(CheckFailedError, match="0 of 3 texts have other tokens, and answers"):
        trimmed(package, texts)
    assert not package.path.with_suffix(".bundle").exists()
