"""Throughput: batches by length, passes, and what a pass holds."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.package import ModelPackage
from toolkit.profiling import profile
from toolkit.profiling.queries import Given, prepare
from toolkit.profiling.scenarios import Effort, MultiStream, Offline, SingleStream
from toolkit.profiling.throughput import (
    item_batches,
    measure_passes,
    one_pass,
    text_batches,
    token_counts,
)
from toolkit.tasks import Task, open_task
from toolkit.tensors import Feeds, TensorSpec


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


@pytest.fixture
def task(package: ModelPackage) -> Task:
    contents = package.contents
    return open_task(contents.task, package.asset("preprocessing"), package.inputs)


TEXTS = [" ".join(["film"] * length) for length in (1, 9, 3, 16, 2, 2, 12, 5, 5, 5)]


def test_batches_hold_every_text_once_and_no_more_tokens_than_allowed(task: Task) -> None:
    batches = list(text_batches(task, TEXTS, 20))
    positions = [i for chosen, _ in batches for i in chosen]
    assert sorted(positions) == list(range(len(TEXTS)))
    for chosen, feeds in batches:
        ids = feeds["input_ids"]
        assert ids.shape == (len(chosen), max(len(TEXTS[i].split()) for i in chosen))
        assert ids.size <= 20
    lengths = [feeds["input_ids"].shape[1] for _, feeds in batches]
    assert lengths == sorted(lengths, reverse=True)  # so that the sessions end together


def test_a_text_longer_than_a_batch_is_one_by_itself(task: Task) -> None:
    sizes = [feeds["input_ids"].shape for _, feeds in text_batches(task, TEXTS, 4)]
    assert sizes[0] == (1, 16)


def test_tokens_are_counted_without_a_mask(task: Task) -> None:
    feeds = task.encode(["good film", "film", "bad bad bad"])
    assert token_counts(task, feeds).tolist() == [2, 1, 3]
    masked = {**feeds, "attention_mask": (feeds["input_ids"] != 0).astype(np.int64)}
    assert token_counts(task, masked).tolist() == [2, 1, 3]


def test_a_pass_runs_every_batch_once_whoever_takes_it(task: Task) -> None:
    seen: list[int] = []
    ticks = itertools.count(step=7)
    took = one_pass(
        [lambda feeds: len(feeds["input_ids"])] * 2,
        text_batches(task, TEXTS, 20),
        lambda positions, rows: seen.extend(positions),
        clock_ns=lambda: next(ticks),
    )
    assert took == 7
    assert sorted(seen) == list(range(len(TEXTS)))


def test_a_run_that_fails_ends_the_pass_and_is_raised_here() -> None:
    def failing(feeds: Feeds) -> object:
        raise InputError("it broke")

    batches = iter([([0], {"x": np.zeros((1, 1))})] * 100)
    with pytest.raises(InputError, match="it broke"):
        one_pass([failing, failing], batches, lambda *_: None)


def test_passes_go_on_until_their_median_has_an_interval() -> None:
    times: list[int] = []
    ticks = itertools.count(step=3_000_000_000)
    made = measure_passes(
        [lambda feeds: 0],
        lambda: iter([([0], {"x": np.zeros((1, 1))})]),
        lambda *_: None,
        Effort(budget_s=1000),
        times,
        clock_ns=lambda: next(ticks),
    )
    assert made == 3_000_000_000  # the warm-up is a pass
    assert len(times) == 6


def test_items_that_are_no_texts_keep_their_order() -> None:
    class Numbers:
        @staticmethod
        def encode(items: list[int]) -> dict[str, object]:
            return {"x": np.array(items)}

    batches = list(item_batches(Numbers(), range(5), 2))  # type: ignore[arg-type]  # all it needs
    assert [list(positions) for positions, _ in batches] == [[0, 1], [2, 3], [4]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "films.csv"
    rows = "".join(f"{text},positive\n" for text in TEXTS)
    file.write_text(f"text,label\n{rows}")
    return file


def test_texts_a_second_with_tokenization_included(package: ModelPackage, data: Path) -> None:
    report = profile(
        package.path, scenario=Offline(sessions=2), data=str(data), runs=600, processes=1
    )
    assert report.passes is not None
    assert report.passes.includes == ("tokenization", "decoding")
    assert (report.passes.samples, report.passes.sessions, report.passes.threads) == (10, 2, 1)
    assert report.passes.tokens == 60
    document = report.as_json()
    assert document["samples"] == 600
    assert document["latency_ms"] == {}
    low, high = document["throughput_interval_95"]
    assert low <= document["throughput_per_s"] <= high
    assert document["environment"]["inputs"] == "data"


def test_random_samples_where_no_data_is_given() -> None:
    report = profile(
        GRAPH,
        scenario=Offline(sessions=1, batch=4),
        sizes={"sequence": 3},
        runs=2,
        processes=1,
    )
    assert report.passes is not None
    assert report.passes.includes == ()
    assert report.environment.shapes == {"input_ids": [4, 3]}
    assert report.throughput_interval is None  # two passes carry none


def test_samples_of_a_batch_without_other_axes_are_counted() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=("batch",))
    for scenario, samples in ((Offline(batch=16), 16), (MultiStream(streams=4), 4)):
        assert prepare([spec], None, Given(), scenario).samples == samples
    signal = prepare([spec], None, Given(sizes={"batch": 16}), SingleStream())
    assert signal.samples == 1  # 16 values of one signal, for all that is known


def test_an_empty_data_set_is_an_error(
    package: ModelPackage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("text,label\n")
    arguments = ["profile", str(package.path), "--data", str(empty), "-q"]
    for scenario in ("single-stream", "offline"):
        assert main([*arguments, "--scenario", scenario]) == 3
        assert "empty.csv" in capsys.readouterr().err
