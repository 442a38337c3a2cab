"""How answers of two variants are compared, task by task, and scored."""

import json
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.evaluate.agreement import agreement, changed
from toolkit.evaluate.decisions import decisions
from toolkit.evaluate.metrics import main_metric, main_value, measure
from toolkit.evaluate.samples import read_samples
from toolkit.tasks import TaskSpec, TextSpec

TEXT = TextSpec(max_length=8, pad_id=0, pad_token="[PAD]")  # noqa: S106 - no password
SEVERAL = TaskSpec(
    name="text-classification",
    labels=("funny", "sad", "so, so"),
    activation="sigmoid",
    multi_label=True,
    text=TEXT,
)
ENTITY = {"label": "PER", "score": 0.5, "start": 0, "end": 4, "text": "Anna"}


@pytest.mark.parametrize(
    "one, other, differ",
    [
        ({"entities": [ENTITY]}, {"entities": [ENTITY | {"score": 0.75}]}, 0),
        ({"entities": [ENTITY]}, {"entities": [ENTITY | {"end": 3}]}, 1),
        ({"entities": [ENTITY]}, {"entities": []}, 1),
        ({"answer": "a", "score": 0.5}, {"answer": "a", "score": 0.75}, 0),
        ({"answer": "a", "score": 0.5}, {"answer": "", "score": 0.5}, 1),
        (
            {"masks": [{"fills": [{"token": 3, "score": 0.5}, {"token": 4, "score": 0.1}]}]},
            {"masks": [{"fills": [{"token": 3, "score": 0.75}, {"token": 5, "score": 0.1}]}]},
            0,
        ),
        ({"text": "yes"}, {"text": "no"}, 1),
    ],
)
def test_answers_agree_where_they_say_the_same(
    one: dict[str, object], other: dict[str, object], differ: int
) -> None:
    task = TaskSpec(name="token-classification")
    found = agreement(task, decisions([one, one]), decisions([one, other]))
    assert found.share == 1 - differ / 2
    if not differ:
        assert found.largest_change == 0.25


def test_embeddings_agree_by_their_direction() -> None:
    task = TaskSpec(name="feature-extraction")
    one = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], np.float32)
    other = np.array([[2.0, 0.1], [1.0, 0.3], [0.0, 0.0]], np.float32)
    assert changed(task, one, other) == 2  # nothing points nowhere


def test_each_label_of_several_counts() -> None:
    one = np.array([[0.9, 0.1, 0.6], [0.2, 0.2, 0.7]])
    other = np.array([[0.6, 0.4, 0.9], [0.2, 0.6, 0.7]])
    assert changed(SEVERAL, one, other) == 1
    targets = np.array([[1, 0, 1], [0, 1, 1]])
    found = measure(SEVERAL, one, targets)
    assert [*found] == ["micro_f1", "exact_match"]
    assert found["micro_f1"].value == pytest.approx(2 * 3 / (3 + 4))
    assert found["exact_match"].value == 0.5
    assert main_metric(SEVERAL) == "micro_f1"
    assert main_value(SEVERAL, other, targets) == 1.0
    assert main_value(SEVERAL, np.zeros((2, 3)), np.zeros((2, 3))) == 1.0


def test_several_labels_are_a_list_or_a_text(tmp_path: Path) -> None:
    rows = [["funny", "sad"], "funny|so, so", "so, so", "", "sad, funny", [], 2]
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(json.dumps({"text": "a", "label": row}) for row in rows))
    assert read_samples(file, SEVERAL).targets == (
        (1, 1, 0),
        (1, 0, 1),
        (0, 0, 1),
        (0, 0, 0),
        (1, 1, 0),
        (0, 0, 0),
        (0, 0, 1),
    )
    file.write_text('{"text": "a", "label": ["funny", "long"]}')
    with pytest.raises(InputError, match="row 1 has the label 'long'"):
        read_samples(file, SEVERAL)


def test_pairs_and_questions_are_found_by_their_columns(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("premise,hypothesis,label,source\na,b,sad,web\n")
    samples = read_samples(file, SEVERAL)
    assert samples.items == (("a", "b"),)
    assert [*samples.columns] == ["source"]
    file.write_text("question,context,answer\nWhere?,here,here\n")
    asked = read_samples(file, TaskSpec(name="question-answering", text=TEXT))
    assert asked.items == ({"question": "Where?", "context": "here"},)
    assert asked.targets is None  # and no label column is asked for
    file.write_text("text\na\n")
    with pytest.raises(InputError, match="row 1 has no 'question'"):
        read_samples(file, TaskSpec(name="question-answering", text=TEXT))
