import math
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.tiny_package import GRAPH, write_tiny_package
from tests.training.test_resume import interrupted, stop_at
from tests.training.tiny import TEXT, weights, write
from toolkit.cli.main import main
from toolkit.errors import InputError, ToolkitWarning
from toolkit.export import export
from toolkit.tasks import TaskSpec, TextSpec
from toolkit.training import Distillation, Progress, Split, open_run, train
from toolkit.training.distillation import Teacher, distillation_loss

LABELS = ("negative", "positive")
STUDENT = TEXT.replace('("bad", "good")', str(LABELS))
TASK = TaskSpec(
    name="text-classification",
    labels=LABELS,
    output="logits",
    activation="softmax",
    text=TextSpec(max_length=8, pad_id=0, pad_token="[PAD]"),  # noqa: S106 - no secret
)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """Learns to tell "a good and lovely film", which is positive, from "bad"."""
    return write(tmp_path / "student", STUDENT)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Holds for positive what says "good": the logits are 9 - 5 and, for "bad", 2 - 5."""
    return write_tiny_package(tmp_path / "teacher.ortpackage").path


@pytest.fixture
def contrary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same graph with the names of its labels exchanged."""
    monkeypatch.setattr("tests.tiny_package.LABELS", LABELS[::-1])
    return write_tiny_package(tmp_path / "contrary.ortpackage").path


def split(*texts: str) -> Split:
    return Split(items=texts, targets=np.zeros(len(texts), np.int64))


def accuracy(recipe: Path, run: Path, *, teacher: Path, weight: float) -> float:
    distillation = Distillation(teacher=str(teacher), weight=weight)
    report = train(recipe, run, distillation=distillation, settings={"max_epochs": 5})
    return report.metrics["test"].metrics["accuracy"].value


def test_a_student_learns_from_the_teacher_what_the_labels_do_not_say(
    student: Path, teacher: Path, contrary: Path, tmp_path: Path
) -> None:
    assert accuracy(student, tmp_path / "one", teacher=teacher, weight=1.0) == 1.0
    assert accuracy(student, tmp_path / "two", teacher=contrary, weight=1.0) == 0.0
    assert accuracy(student, tmp_path / "three", teacher=contrary, weight=0.1) == 1.0


def test_answers_stand_in_the_order_of_the_texts_and_of_the_students_labels(
    teacher: Path, contrary: Path
) -> None:
    texts = split("good", "bad", "a film of which nothing is said", "bad film")
    for package, sign in ((teacher, 1), (contrary, -1)):
        taught = Teacher(Distillation(teacher=package), TASK).teach(texts, threads=1, progress=None)
        assert taught.teacher is not None
        negative, positive = taught.teacher.T
        logits = positive - negative
        np.testing.assert_allclose(logits, sign * np.array([4, -3, -2, -2]), atol=1e-5)
        assert taught.take(np.array([1])).teacher == pytest.approx(taught.teacher[1:2])


def test_the_teacher_is_asked_once_about_every_text_and_says_so(
    student: Path, teacher: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    train(
        student,
        tmp_path / "run",
        distillation=Distillation(teacher=teacher),
        settings={"folds": 2},
        progress=seen.append,
    )
    asked = [state for state in seen if state.phase == "asking the teacher"]
    assert [(state.batch, state.batches) for state in asked] == [(1, 1)]
    assert seen[0] is asked[0]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_divergence_of_softened_probabilities(temperature: float) -> None:
    student, teacher = np.array([[1.0, -1.0, 0.5]]), np.array([[0.2, 2.0, -3.0]])

    def softened(logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
        powers = np.exp(logits[0] / temperature)
        return [float(power) for power in powers / powers.sum()]

    pairs = zip(softened(teacher), softened(student), strict=True)
    expected = temperature**2 * sum(p * math.log(p / q) for p, q in pairs)
    found = distillation_loss(
        torch.tensor(student), torch.tensor(teacher), activation="softmax", temperature=temperature
    )
    assert float(found) == pytest.approx(expected)


def test_one_sigmoid_logit_learns_as_two_logits_would() -> None:
    teacher, one = torch.tensor([[0.5, 1.5], [2.0, -1.0]]), torch.tensor([[0.3], [-0.7]])
    two = functional.pad(one, (1, 0))
    losses = [
        distillation_loss(logits, teacher, activation=activation, temperature=2.0)
        for logits, activation in ((one, "sigmoid"), (two, "softmax"))
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]))
    alike = distillation_loss(
        torch.tensor([[1.0], [-3.0]]), teacher, activation="sigmoid", temperature=2.0
    )
    assert float(alike) == pytest.approx(0.0, abs=1e-6)


def test_the_run_says_who_taught_it(student: Path, teacher: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(student, run, distillation=Distillation(teacher=teacher, temperature=3.0, weight=0.25))
    record = open_run(run).record.distillation
    assert record is not None
    assert (record.teacher, record.variant) == ("teacher", "fp32")
    assert (record.temperature, record.weight) == (3.0, 0.25)
    assert len(record.sha256) == 64


def test_the_teachers_address_follows_its_content_and_not_its_place(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def address(package: Path) -> str:
        return Teacher(Distillation(teacher=package), TASK).record.sha256

    again = write_tiny_package(tmp_path / "again.ortpackage").path
    assert address(again) == address(teacher)
    monkeypatch.setattr("tests.tiny_package.VOCABULARY", {"[PAD]": 0, "[UNK]": 1, "good": 9})
    assert address(write_tiny_package(tmp_path / "other.ortpackage").path) != address(teacher)


def test_a_resumed_training_ends_as_an_uninterrupted_one(
    student: Path, teacher: Path, tmp_path: Path
) -> None:
    taught = Distillation(teacher=teacher)
    settings = {"max_epochs": 4}
    train(student, tmp_path / "whole", settings=settings, distillation=taught)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(
            student,
            run,
            settings=settings,
            distillation=taught,
            progress=stop_at(3, KeyboardInterrupt()),
        )
    train(student, run, settings=settings, distillation=taught, resume=True)
    expected, found = weights(tmp_path / "whole"), weights(run)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_resuming_with_another_teacher_or_without_one_is_refused(
    student: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    interrupted(student, run, stop_at(2, KeyboardInterrupt()), {})
    with pytest.raises(InputError, match="--distill is teacher"):
        train(student, run, distillation=Distillation(teacher=teacher), resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(
            student,
            run,
            distillation=Distillation(teacher=teacher),
            progress=stop_at(2, KeyboardInterrupt()),
            force=True,
        )
    with pytest.raises(InputError, match="--distill is not given"):
        train(student, run, resume=True)
    with pytest.raises(InputError, match=r"--distill-weight is 0\.7") as caught:
        train(student, run, distillation=Distillation(teacher=teacher, weight=0.7), resume=True)
    assert "0.5" in caught.value.expected
    monkeypatch.setattr("tests.tiny_package.VOCABULARY", {"[PAD]": 0, "[UNK]": 1, "good": 9})
    other = write_tiny_package(tmp_path / "another" / "teacher.ortpackage").path
    with pytest.raises(InputError, match="sha256"):
        train(student, run, distillation=Distillation(teacher=other), resume=True)


def test_other_labels_are_refused_with_both_lists(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = write(tmp_path / "student", TEXT)
    command = ["train", str(student), "-o", str(tmp_path / "run"), "--distill", str(teacher)]
    assert main(command) == 3
    message = capsys.readouterr().err
    assert "negative, positive" in message
    assert "bad, good" in message
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / ".run.partial").exists()


@pytest.mark.slow
def test_a_run_that_was_exported_teaches_rows_too(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "large", settings={"max_epochs": 12})
    package = tmp_path / "teacher.ortpackage"
    export(tmp_path / "large", package)
    # Every label turned round, which a student that looks at labels learns.
    rows = (recipe.parent / "rows.csv").read_text().splitlines()
    turned = [row[:-1] + ("0" if row.endswith("1") else "1") for row in rows[1:]]
    (recipe.parent / "rows.csv").write_text("\n".join([rows[0], *turned]) + "\n")
    taught = accuracy(recipe, tmp_path / "taught", teacher=package, weight=1.0)
    told = accuracy(recipe, tmp_path / "told", teacher=package, weight=0.01)
    assert taught < 0.5
    assert told > 0.8


def test_what_is_no_classifier_of_texts_teaches_nothing(
    recipe: Path, student: Path, teacher: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match="bare model"):
        train(student, run, distillation=Distillation(teacher=GRAPH))
    with pytest.raises(InputError, match="nowhere"):
        train(student, run, distillation=Distillation(teacher=tmp_path / "nowhere.ortpackage"))
    with pytest.raises(InputError, match="text-classification") as caught:
        train(recipe, run, distillation=Distillation(teacher=teacher))
    assert "tabular-classification" in caught.value.expected
    assert "--distill" in caught.value.fix


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "tabular-regression", "labels": ()},
        {"activation": "none"},
        {"activation": "sigmoid", "multi_label": True},
    ],
    ids=str,
)
def test_only_a_classifier_of_one_label_learns_from_a_teacher(
    teacher: Path, changes: dict[str, object]
) -> None:
    task = msgspec.structs.replace(TASK, **changes)
    with pytest.raises(InputError, match="does not learn"):
        Teacher(Distillation(teacher=teacher), task)


@pytest.mark.parametrize(
    "numbers, name", [({"temperature": 0.0}, "temperature"), ({"weight": 0.0}, "weight")], ids=str
)
def test_numbers_without_meaning_are_refused(
    teacher: Path, numbers: dict[str, float], name: str
) -> None:
    with pytest.raises(InputError, match=name):
        Distillation(teacher=teacher, **numbers)


def test_a_temperature_without_a_teacher_is_typed_wrongly(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(student), "-o", str(tmp_path / "run"), "--distill-temperature", "3"]
    assert main(command) == 2
    assert "--distill" in capsys.readouterr().err


def test_the_command_names_the_teacher(
    student: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(student), "-o", str(tmp_path / "run"), "--distill", str(teacher)]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "taught by teacher (fp32), temperature 2, weight 0.5" in captured.out
    assert "asking the teacher" in captured.err


def test_a_teacher_that_cuts_texts_says_so_once(teacher: Path) -> None:
    asked = Teacher(Distillation(teacher=teacher), TASK)
    short, long = "good", "good " * 5000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked.teach(split(short, short), threads=1, progress=None)
    with pytest.warns(ToolkitWarning) as told:
        asked.teach(split(short, long, long, short), threads=1, progress=None)
    (one,) = told
    assert "2 warnings" in str(one.message)
    assert "text 2" in str(one.message) or "text 1" in str(one.message)
    assert "was cut" in str(one.message)


@pytest.mark.parametrize("weight", ["0", "0.0", "-1"])
def test_a_teacher_without_weight_is_typed_wrongly(
    student: Path, teacher: Path, tmp_path: Path, weight: str
) -> None:
    command = ["train", str(student), "-o", str(tmp_path / "run"), "--distill", str(teacher)]
    assert main([*command, "--distill-weight", weight]) == 2
    assert main([*command, "--distill-weight", "0.01", "--set", "max_epochs=1"]) == 0
