"""Symbolic dimensions that are fixed before a graph is opened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from tests.runtime.graphs import feeds, write_graph
from tests.tiny_package import GRAPH, write_tiny_package
from toolkit import load
from toolkit.cli.main import main
from toolkit.errors import InputError, ToolkitWarning
from toolkit.rows import fixed_rows, run_rows
from toolkit.runtime import SessionOptions, open_session
from toolkit.runtime.dimensions import how_to_fix
from toolkit.tasks.specification import TextSpec
from toolkit.tasks.text import open_tokenizer
from toolkit.tensors import TensorSpec


def opened(model: Path, **sizes: int) -> Any:
    return open_session(model, SessionOptions(fix_shapes=sizes))


def test_dimensions_are_fixed_by_name() -> None:
    session = opened(GRAPH, batch=2, sequence=5)
    assert [spec.shape for spec in session.inputs] == [(2, 5)]
    assert [spec.shape for spec in opened(GRAPH, sequence=5).inputs] == [("batch", 5)]


def test_a_dimension_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(InputError, match="'seq'") as caught:
        opened(GRAPH, batch=1, seq=5)
    assert caught.value.exit_code == 3
    assert "batch, sequence" in caught.value.expected
    assert caught.value.fix == "--fix-shapes batch=1,sequence=128"
    with pytest.raises(InputError, match="'seq'") as caught:
        opened(GRAPH, sequence=16, seq=5)
    assert caught.value.fix == "--fix-shapes batch=1,sequence=16"


@pytest.mark.parametrize(
    "given, advice",
    [
        ({}, "--fix-shapes batch=1,sequence=128"),
        ({"sequence": 16}, "--fix-shapes sequence=16,batch=1"),
        ({"batch": 2}, "--fix-shapes batch=2,sequence=128"),
    ],
)
def test_the_advice_holds_what_was_given_and_what_is_missing(
    given: dict[str, int], advice: str
) -> None:
    assert how_to_fix(opened(GRAPH, **given).inputs, given) == advice


def test_a_graph_of_fixed_shapes_has_no_dimension_to_fix(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4)
    with pytest.raises(InputError, match="'batch'") as caught:
        opened(model, batch=4)
    assert "fixed" in caught.value.expected


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="'batch' cannot be 0"):
        opened(GRAPH, batch=0)


def test_another_shape_than_the_fixed_one_is_refused(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx")
    fixed = load(model, options=SessionOptions(fix_shapes={"batch": 4}))
    assert fixed.run(feeds(4))["y"].shape == (4, 8)
    with pytest.raises(InputError, match=r"float32\[3, 8\]") as caught:
        fixed.run(feeds(3))
    assert caught.value.expected == "float32[4, 8]"


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_texts_are_padded_to_the_fixed_sequence_in_batches_of_the_fixed_size(
    tmp_path: Path, batch: int
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    texts = ["bad", "good", "funny good film", "bad film", "film"]
    sizes = {"batch": batch, "sequence": 6}
    fixed = load(package, options=SessionOptions(fix_shapes=sizes))
    assert [spec.shape for spec in fixed.inputs] == [(batch, 6)]
    assert fixed.batch(texts) == load(package).batch(texts)
    assert fixed("good") == load(package)("good")
    several = fixed.outputs(texts)["logits"]
    np.testing.assert_array_equal(several, load(package).outputs(texts)["logits"])


def test_texts_are_cut_to_the_fixed_sequence(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    fixed = load(package, options=SessionOptions(fix_shapes={"batch": 1, "sequence": 2}))
    assert fixed.task.encode(["bad"])["input_ids"].tolist() == [[2, 0]]
    with pytest.warns(ToolkitWarning, match="first 2 tokens"):
        cut = fixed.task.encode(["bad film good"])["input_ids"]
    assert cut.tolist() == [[2, 3]]


def test_rows_are_fixed_where_all_tensors_have_the_same() -> None:
    def spec(*shape: int | str) -> TensorSpec:
        return TensorSpec(name="x", dtype="float32", shape=shape)

    assert fixed_rows([spec(4, 8), spec(4)]) == 4
    assert fixed_rows([spec("batch", 8), spec("batch")]) is None
    assert fixed_rows([spec(4, 8), spec(2)]) is None
    assert fixed_rows([spec(4, 8), spec()]) is None


@pytest.mark.parametrize("typed, code", [("batch", 2), ("batch=x", 2), ("sequence=2", 0)])
def test_the_command_takes_sizes(
    tmp_path: Path, typed: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    command = ["infer", str(package), "good film", "--json", "--require", "cpu=1"]
    assert main([*command, "--fix-shapes", typed]) == code
    shown = capsys.readouterr()
    if code == 0:
        document = json.loads(shown.out)
        assert document["placement"].keys() == {"CPUExecutionProvider"}
        assert document["elsewhere"] == {}
        assert document["results"][0]["label"] == "positive"


@pytest.mark.parametrize("rows", [np.ones((0, 8), np.float32), np.array(1.0, np.float32)])
def test_feeds_without_a_row_are_refused_for_their_shape(tmp_path: Path, rows: Any) -> None:
    session = open_session(write_graph(tmp_path / "model.onnx", batch=4), SessionOptions())
    with pytest.raises(InputError, match="running"):
        run_rows(session, {"x": rows})


@pytest.mark.parametrize("beyond, problem", [(0, "Add_1"), (1, "texts have at most")])
def test_a_graph_that_does_not_open_beyond_its_longest_text_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beyond: int, problem: str
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    assert package.contents.task.text is not None
    most = package.contents.task.text.max_length

    def refuses(*_: Any, **__: Any) -> None:
        raise InputError("Add_1: Incompatible dimensions")

    monkeypatch.setattr("toolkit.inference.open_session", refuses)
    sizes = {"batch": 1, "sequence": most + beyond}
    with pytest.raises(InputError, match=problem) as caught:
        load(package.path, options=SessionOptions(fix_shapes=sizes))
    assert beyond == 0 or caught.value.expected == f"sequence of 2 to {most}"


def test_a_sequence_without_room_for_the_special_tokens_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = TextSpec(max_length=8, pad_id=0, pad_token="[UNK]")  # noqa: S106
    assert open_tokenizer(tmp_path / "tokenizer.json", text, length=2) is not None
    with pytest.raises(InputError, match="2 special ones"):
        open_tokenizer(tmp_path / "tokenizer.json", text, length=1)
