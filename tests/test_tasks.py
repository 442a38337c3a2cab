"""Items to feeds, outputs to results."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.tiny_package import write_tiny_package
from toolkit import load
from toolkit.errors import InputError, ToolkitWarning
from toolkit.tasks import ImageSpec, TaskOptions, TaskSpec, TextSpec, open_task
from toolkit.tasks.tabular import CategoricalColumn, FeatureTable, NumericColumn
from toolkit.tensors import TensorSpec

IMAGE = (TensorSpec(name="image", dtype="float32", shape=("batch", 1, 8, 8)),)


@pytest.fixture
def table() -> FeatureTable:
    return FeatureTable(
        columns=(
            NumericColumn(name="area"),
            CategoricalColumn(name="street", levels=("paved", "gravel")),
            NumericColumn(name="rooms", fill=3.0),
            CategoricalColumn(name="roof", levels=("flat",), unknown="other"),
        )
    )


def test_rows_become_one_tensor_a_kind(table: FeatureTable, tmp_path: Path) -> None:
    table.write(tmp_path / "features.json")
    read = FeatureTable.read(tmp_path / "features.json")
    feeds = read.encode(
        [
            {"area": "12.5", "street": "gravel", "rooms": "", "roof": "flat", "more": 1},
            {"area": 3, "street": "paved", "rooms": 2, "roof": "hip"},
        ]
    )
    assert feeds["numeric"].tolist() == [[12.5, 3.0], [3.0, 2.0]]
    assert feeds["categorical"].tolist() == [[1, 0], [0, 1]]
    assert [array.dtype.name for array in feeds.values()] == ["float32", "int64"]


@pytest.mark.parametrize(
    "change, named",
    [
        ({"area": "wide"}, "'area' is 'wide'"),
        ({"area": float("nan")}, "'area' is nan"),
        ({"area": None}, "'area' is None"),
        ({"street": "mud"}, "'street' is 'mud'"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(
    table: FeatureTable, change: dict[str, object], named: str
) -> None:
    row = {"area": 1, "street": "paved", "rooms": 1, "roof": "flat"}
    with pytest.raises(InputError, match=named):
        table.encode([row, row | change])


def test_missing_columns_are_named_beside_those_of_the_model(table: FeatureTable) -> None:
    with pytest.raises(InputError, match="columns 'street', 'rooms', 'roof'") as refused:
        table.encode([{"area": 1, "stret": "paved"}])
    assert refused.value.expected == "the columns area, street, rooms, roof"
    with pytest.raises(InputError, match="column 'street'"):
        table.encode([{"area": 1, "rooms": 2, "roof": "flat"}])


def test_a_feature_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text('{"columns": [{"type": "magic", "name": "x"}]}')
    with pytest.raises(InputError, match="no feature table"):
        FeatureTable.read(tmp_path / "features.json")


def test_an_image_file_is_resized_scaled_and_normalized(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "white.png")
    spec = ImageSpec(height=8, width=8, mode="L", scale=1 / 255, mean=(0.5,), std=(0.25,))
    task = open_task(TaskSpec(name="image-classification", image=spec), None, IMAGE)
    feeds = task.encode([tmp_path / "white.png", np.zeros((8, 8), np.uint8)])
    assert feeds["image"].shape == (2, 1, 8, 8)
    assert feeds["image"][0] == pytest.approx(np.full((1, 8, 8), 2.0))
    assert feeds["image"][1] == pytest.approx(np.full((1, 8, 8), -2.0))


@pytest.mark.parametrize(
    "pixels, named",
    [
        (np.zeros((9, 8)), r"float64\[9, 8, 1\], which is not resized"),
        (np.zeros((8, 8, 3), np.uint8), r"uint8\[8, 8, 3\]"),
        (np.zeros((0, 8), np.uint8), r"uint8\[0, 8, 1\]"),
        ([[0, 1], [2, 3]], "image 1 is a list"),
    ],
)
def test_an_array_that_is_no_image_is_refused(pixels: object, named: str) -> None:
    spec = ImageSpec(height=8, width=8, mode="L")
    task = open_task(TaskSpec(name="image-classification", image=spec), None, IMAGE)
    with pytest.raises(InputError, match=named):
        task.encode([pixels])


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("hello")
    spec = ImageSpec(height=8, width=8, mode="L")
    task = open_task(TaskSpec(name="image-classification", image=spec), None, IMAGE)
    with pytest.raises(InputError, match=r"note\.png is no image"):
        task.encode([tmp_path / "note.png"])


def test_softmax_of_logits_gives_the_scores() -> None:
    task = open_task(
        TaskSpec(
            name="image-classification", labels=("a", "b"), output="logits", activation="softmax"
        ),
        None,
        IMAGE,
    )
    (result,) = task.decode({"logits": np.log(np.array([[1.0, 3.0]], np.float32))})
    assert result["label"] == "b"
    assert result["scores"] == pytest.approx({"a": 0.25, "b": 0.75})


@pytest.mark.parametrize("activation, width", [("sigmoid", 1), ("softmax", 5), ("none", 3)])
def test_one_item_and_many_are_decoded_alike(
    activation: Literal["sigmoid", "softmax", "none"], width: int
) -> None:
    labels = tuple("abcde"[: max(width, 2)])
    task = open_task(
        TaskSpec(
            name="image-classification", labels=labels, output="logits", activation=activation
        ),
        None,
        IMAGE,
    )
    logits = (np.random.default_rng(0).standard_normal((100, width)) * 40).astype(np.float32)
    together = task.decode({"logits": logits})
    for row, result in zip(logits, together, strict=True):
        (alone,) = task.decode({"logits": row[None]})
        assert alone["label"] == result["label"]
        assert alone["scores"] == pytest.approx(result["scores"], abs=1e-6)


def test_a_regression_of_logarithms_answers_with_the_value() -> None:
    task = open_task(
        TaskSpec(name="tabular-regression", output="value", value_transform="exp"), None, ()
    )
    assert task.decode({"value": np.log(np.array([[2.0], [8.0]]))}) == [
        {"value": pytest.approx(2.0)},
        {"value": pytest.approx(8.0)},
    ]


def test_a_large_tensor_leaves_its_data_out() -> None:
    task = open_task(TaskSpec(name="tensors"), None, ())
    (result,) = task.decode({"small": np.zeros(1000), "large": np.zeros((1, 1001))})
    assert result["outputs"]["large"] == {"dtype": "float64", "shape": [1, 1001]}
    assert len(result["outputs"]["small"]["data"]) == 1000


TEXTS = ["фильм", "映画は良い", "فيلم جيد", "🎬🎬", "a\x00good\x00film", "e\u0301", "\u202egood"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_in_any_script_gets_an_answer(tmp_path: Path, text: str) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    assert set(model(text)["scores"]) == {"negative", "positive"}


@pytest.mark.parametrize("text", ["", "  \n", "good \ud800", 7, None])
def test_what_is_no_text_is_refused(tmp_path: Path, text: object) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    with pytest.raises(InputError):
        model(text)


def test_a_long_text_is_cut_with_a_warning(tmp_path: Path) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    with pytest.warns(ToolkitWarning, match=r"1,000,000 characters.*first 16 tokens"):
        assert model("good film " * 100_000)["label"] == "positive"


def test_a_list_is_answered_in_its_order_whatever_the_lengths(tmp_path: Path) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    texts = ["bad film film film", "good", "bad", "film film good"] * 20
    labels = [result["label"] for result in model(texts)]
    assert labels == ["negative", "positive", "negative", "positive"] * 20


def test_one_text_is_no_batch(tmp_path: Path) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    with pytest.raises(InputError, match="a list of items"):
        model.batch("good")


def test_results_are_plain_json(tmp_path: Path) -> None:
    model = load(write_tiny_package(tmp_path / "t.ortpackage").path)
    assert json.loads(json.dumps(model("good"))) == model("good")


def test_a_row_is_called_by_its_number() -> None:
    table = FeatureTable(columns=(NumericColumn(name="a"),))
    with pytest.raises(InputError, match="row 34, column 'a'"):
        table.encode([{"a": 1}, {"a": "x"}], [33, 34])


def test_labels_of_zero_shot_are_not_cut_unasked(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    specification = TaskSpec(
        name="zero-shot-image-classification",
        output="logits",
        image=ImageSpec(height=8, width=8, mode="L"),
        text=TextSpec(max_length=4, pad_id=0, pad_token="[UNK]"),  # noqa: S106 - no secret
        template="{}",
    )
    tokens = TensorSpec(name="input_ids", dtype="int64", shape=("texts", "sequence"))
    item = np.zeros((8, 8), np.uint8)

    def encode(*, truncate: bool) -> None:
        options = TaskOptions(truncate=truncate, candidates=("a", "a a a a a"))
        open_task(specification, tmp_path, (*IMAGE, tokens), options).encode([item])

    with pytest.warns(ToolkitWarning, match="was cut to the first 4 tokens"):
        encode(truncate=True)
    with pytest.raises(InputError, match=r"text 2 .* has more than 4 tokens"):
        encode(truncate=False)
