"""Samples, metrics with intervals, and the report by group."""

import gzip
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.tiny_package import write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.metrics import measure, wilson
from toolkit.evaluate.samples import SampleOptions, read_samples
from toolkit.tasks import TaskSpec, TextSpec

TEXT = TaskSpec(
    name="text-classification",
    labels=("negative", "positive"),
    output="logits",
    activation="sigmoid",
    text=TextSpec(max_length=8, pad_id=0, pad_token="[PAD]"),  # noqa: S106 - no secret
)


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    estimate = wilson(81, 263)
    assert estimate.interval_95 == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20).interval_95 == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_classification_reports_accuracy_and_macro_f1() -> None:
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    metrics = measure(TEXT, answers, np.array([0, 1, 0, 0]))
    assert next(iter(metrics)) == "accuracy"
    assert metrics["accuracy"].value == 0.75
    assert metrics["macro_f1"].value == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_a_model_of_logarithms_is_scored_in_both_scales() -> None:
    task = TaskSpec(name="tabular-regression", output="value", value_transform="exp")
    truth = np.log(np.array([100.0, 200.0, 400.0]))
    metrics = measure(task, np.log([[100.0], [200.0], [300.0]]), truth)
    assert metrics["mean_absolute_error"].value == pytest.approx(100 / 3)
    residual = (np.log(400) - np.log(300)) ** 2
    assert metrics["r2"].value == pytest.approx(1 - residual / (2 * np.log(2) ** 2))


def test_the_interval_of_a_perfect_regression_is_a_point() -> None:
    task = TaskSpec(name="tabular-regression", output="value")
    truth = np.arange(10.0)
    assert measure(task, truth[:, None], truth)["r2"].interval_95 == (1.0, 1.0)


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".jsonl"])
def test_samples_are_read_from_text_files(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"data{kind}"
    rows = [("good", "positive", "a"), ("bad", "negative", "b"), ("film", "positive", "b")]
    text = "review,target,split\n" + "".join(f"{','.join(row)}\n" for row in rows)
    if kind == ".jsonl":
        names = ("review", "target", "split")
        text = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    samples = read_samples(file, TEXT, SampleOptions(where={"split": "b"}))
    assert [*samples.items] == ["bad", "film"]
    assert [*(samples.targets or ())] == [0, 1]
    assert samples.columns == {"split": ("b", "b")}


def test_the_same_seed_draws_the_same_samples(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("text,label\n" + "".join(f"w{i},positive\n" for i in range(50)))
    samples = read_samples(file, TEXT)
    assert samples.head(10, seed=3).items == samples.head(10, seed=3).items
    assert samples.head(10, seed=3).items != samples.head(10, seed=4).items
    assert len(samples.head(99, seed=0)) == 50


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_text("text,label\n")
    with pytest.raises(InputError, match=r"data\.csv\.gz is no gzip file"):
        read_samples(tmp_path / "data.csv.gz", TEXT)


def test_evaluate_reports_each_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = str(write_tiny_package(tmp_path / "t.ortpackage").path)
    data = tmp_path / "data.csv"
    data.write_text("text,label,who\ngood,positive,a\nbad,negative,b\ngood film,negative,b\n")
    assert main(["evaluate", package, "--data", str(data), "--by", "who", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n"] == 3
    assert report["metrics"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert {name: group["n"] for name, group in report["groups"].items()} == {"a": 1, "b": 2}
    assert report["groups"]["b"]["metrics"]["accuracy"]["value"] == 0.5
    assert main(["evaluate", package, "--data", str(data), "--by", "age"]) == 3
    assert "who" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, where, facts",
    [
        ('{"text": "a", "label": 1}\n{"label": 0}\n', {}, ("row 2 has no 'text'",)),
        ('{"text": "a", "label": "\u00b2"}\n', {}, ("row 1", "'\u00b2'")),
        ('{"text": "a", "label": 1}\n', {"part": "x"}, ("no column 'part'",)),
        ("[" * 100_000, {}, ("line 1",)),
    ],
)
def test_rows_that_do_not_fit_are_named(
    tmp_path: Path, content: str, where: dict[str, str], facts: tuple[str, ...]
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_samples(file, TEXT, SampleOptions(where=where))
    assert all(fact in refused.value.problem for fact in facts)


def test_a_truncated_npz_of_samples_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.npz"
    np.savez(file, text=np.array(["a"]), label=np.array([1]))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"data\.npz is damaged"):
        read_samples(file, TEXT)


@pytest.mark.parametrize(
    "transform, value", [("none", "nan"), ("none", "inf"), ("exp", "0"), ("exp", "-1"), ("exp", "")]
)
def test_a_value_that_has_no_finite_target_is_refused(
    tmp_path: Path, transform: Literal["none", "exp"], value: str
) -> None:
    task = TaskSpec(name="tabular-regression", output="value", value_transform=transform)
    (tmp_path / "data.csv").write_text(f"x,target\n1,2\n1,{value}\n")
    with pytest.raises(InputError, match="row 2") as refused:
        read_samples(tmp_path / "data.csv", task)
    assert "a finite number" in refused.value.expected
