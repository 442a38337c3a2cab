"""Tuning with measurements that are made up, and packages that are written or left alone."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_package import GRAPH, write_tiny_package
from toolkit import load
from toolkit.cli.main import main
from toolkit.errors import InputError, ToolkitWarning
from toolkit.package import ModelPackage, Split
from toolkit.package import tuned as tuned_options
from toolkit.profiling import profile
from toolkit.profiling.comparison_report import Agreement, Beside
from toolkit.profiling.offline_tuning import offline_splits
from toolkit.profiling.scenarios import OFFLINE_BATCH, Offline
from toolkit.profiling.sequential import RatioInterval
from toolkit.profiling.specification import Model
from toolkit.profiling.tune import _warn_if_busy, single_settings, tune
from toolkit.profiling.tuning_report import TuneReport
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tensors import TensorSpec

SPIN = "session.intra_op.allow_spinning"
THREADS = "session.intra_op_num_threads"


class Bench:
    """Made-up speeds: times as fast as the defaults, by what stands in a contender's name."""

    def __init__(self, agrees: bool = True, interrupt: int = 0, **speeds: float) -> None:
        self.speeds = {"off": 1.0, **speeds}
        self.agrees = agrees
        self.interrupt = interrupt
        self.calls: list[list[str]] = []
        self.split_configs: list[Mapping[str, str]] = []

    def __call__(self, model: Model, others: Sequence[Model], seconds: float) -> list[Beside]:
        self.calls.append([other.name for other in others])
        if len(self.calls) == self.interrupt:
            raise KeyboardInterrupt
        return [self._beside(other) for other in others]

    def _beside(self, other: Model) -> Beside:
        speed = 1.0
        if other.offline is not None:
            self.split_configs.append(other.config)
            speed = self.speeds.get("split", 1.0) if other.offline["sessions"] > 1 else 1.0
            speed *= self.speeds.get("small_batch", 1.0) if other.offline["batch"] == 8 else 1.0
        else:
            if other.config.get(SPIN) == "0":
                speed *= self.speeds.get("spinning_off", 1.0)
            if other.config.get(THREADS) == "1":
                speed *= self.speeds.get("one_thread", 1.0)
            if other.config.get(SPIN) == "0" and other.config.get(THREADS) == "1":
                speed = self.speeds.get("both", speed)
        return Beside(
            name=other.name,
            interval=RatioInterval(ratio=speed, low=speed * 0.97, high=speed * 1.03),
            latency_ms=1.0,
            agreement=Agreement(agrees=self.agrees, difference=0.0 if self.agrees else 0.5),
            sentence="",
        )


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


def everything(package: ModelPackage) -> dict[str, bytes]:
    files = (path for path in package.path.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def tuned(package: ModelPackage, bench: Bench) -> TuneReport:
    return tune(package.path, measure=bench, threads=2)


def test_a_setting_that_is_faster_for_certain_is_written(package: ModelPackage) -> None:
    report = tuned(package, Bench(spinning_off=1.3))
    assert report.chosen == {"spinning": "off"}
    assert "spinning=off is faster" in report.sentence
    variant = ModelPackage.open(package.path).variant()
    assert variant.session_options == {SPIN: "0"}
    record = variant.contents.details["tuned"]
    assert record["machine"] == tuned_options.machine_class()
    assert record["speed"] == 1.3
    assert record["versions"]
    assert variant.contents.files == package.variant().contents.files
    load(package.path)


def test_settings_that_are_faster_are_joined_and_confirmed_together(package: ModelPackage) -> None:
    bench = Bench(spinning_off=1.1, one_thread=1.2)
    report = tuned(package, bench)
    assert report.chosen == {"threads": "1", "spinning": "off"}
    assert report.session_options == {THREADS: "1", SPIN: "0"}
    assert ["1", "1,off"] in bench.calls


def test_a_setting_that_adds_nothing_is_left_out(package: ModelPackage) -> None:
    assert tuned(package, Bench(spinning_off=1.3, one_thread=1.1, both=1.31)).chosen == {
        "spinning": "off"
    }


def test_a_busy_machine_is_warned_of() -> None:
    with pytest.warns(ToolkitWarning, match=r"other work wants 99\.0"):
        _warn_if_busy(99.0)
    _warn_if_busy(0.0)
    _warn_if_busy(None)


def test_a_budget_that_was_exceeded_is_warned_of(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(step=400.0)
    monkeypatch.setattr("toolkit.profiling.tune.time.monotonic", lambda: next(ticks))
    with pytest.warns(ToolkitWarning, match="400 s, over its budget"):
        tuned(package, Bench())


def test_no_gain_leaves_the_package_untouched(package: ModelPackage) -> None:
    before = everything(package)
    report = tuned(package, Bench())
    assert report.session_options == {}
    assert "cannot tell" in report.sentence
    assert everything(package) == before


def test_a_gain_that_is_not_certain_is_not_written(package: ModelPackage) -> None:
    before = everything(package)
    assert tuned(package, Bench(spinning_off=1.02)).chosen == {}
    assert everything(package) == before


def test_another_answer_is_no_gain(package: ModelPackage) -> None:
    before = everything(package)
    assert tuned(package, Bench(agrees=False, spinning_off=2.0)).chosen == {}
    assert everything(package) == before


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_an_interrupt_leaves_the_package_untouched(package: ModelPackage, call: int) -> None:
    before = everything(package)
    with pytest.raises(KeyboardInterrupt):
        tuned(package, Bench(interrupt=call, spinning_off=1.3, split=1.5))
    assert everything(package) == before


def test_an_interrupt_while_writing_leaves_the_package_untouched(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    before = everything(package)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(package, Bench(spinning_off=1.3))
    assert everything(package) == before


def test_a_better_split_is_recorded_and_sets_no_session_option(package: ModelPackage) -> None:
    report = tuned(package, Bench(split=1.5))
    assert (report.batch, report.sessions, report.session_threads) == (32, 2, 1)
    variant = ModelPackage.open(package.path).variant()
    assert variant.session_options == {}
    assert variant.contents.details["tuned"]["batch"] == 32


def test_splits_are_measured_with_the_session_options_that_they_will_run_with(
    package: ModelPackage,
) -> None:
    bench = Bench(spinning_off=1.3, one_thread=1.2, both=1.5)
    tuned(package, bench)
    assert {(c.get(SPIN), c.get(THREADS)) for c in bench.split_configs} == {("0", "1")}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[SessionOptions]:
    """Options of the sessions that `load` and what it returns open."""
    seen: list[SessionOptions] = []

    def counting(model: Path, options: SessionOptions, **more: Any) -> Session:
        seen.append(options)
        return open_session(model, options, **more)

    monkeypatch.setattr("toolkit.inference.open_session", counting)
    return seen


TEXTS = ["good", "bad", "good film", "film", "bad film"] * 4
EXPECTED = [["negative", "positive"]["good" in text] for text in TEXTS]


def test_batches_are_of_the_tuned_size_and_run_in_the_tuned_sessions(
    package: ModelPackage, opened: list[SessionOptions]
) -> None:
    tuned(package, Bench(split=1.5, small_batch=1.5))
    model = load(package.path)
    assert model.batch_size == 8
    assert model("good")["label"] == "positive"
    assert len(model.batch(TEXTS[:8])) == 8
    assert len(opened) == 1  # one batch needs no more
    for _ in range(2):
        assert [result["label"] for result in model.batch(TEXTS)] == EXPECTED
    assert [(o.threads, o.spinning) for o in opened[1:]] == [(1, False), (1, False)]
    sizes = [len(positions) for positions, _ in model.batches(TEXTS, batch_size=6)]
    assert sizes == [6, 6, 6, 2]


def test_an_item_that_fails_in_one_of_several_sessions_is_named(package: ModelPackage) -> None:
    tuned(package, Bench(split=1.5))
    with pytest.raises(InputError, match="19"):
        load(package.path).batch([*TEXTS[:18], 7.5, "bad"], batch_size=4)


def test_threads_that_are_named_go_before_tuned_sessions(
    package: ModelPackage, opened: list[SessionOptions]
) -> None:
    tuned(package, Bench(split=1.5))
    model = load(package.path, options=SessionOptions(threads=1))
    assert len(model.batch(TEXTS, batch_size=2)) == len(TEXTS)
    assert len(opened) == 1


def test_infer_reads_the_tuned_batch_unless_one_is_named(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(package, Bench(small_batch=1.5))
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    sizes: list[int] = []
    run = Session.run

    def noting(session: Session, feeds: Any) -> dict[str, Any]:
        sizes.append(len(feeds["input_ids"]))
        return run(session, feeds)

    monkeypatch.setattr(Session, "run", noting)
    command = ["infer", str(package.path), "--lines", str(tmp_path / "texts.txt"), "--json"]
    assert main(command) == 0
    assert main([*command, "--batch-size", "15"]) == 0
    by_batch = sorted(sizes[:3]), sorted(sizes[3:])  # sessions beside each other end as they like
    assert by_batch == ([4, 8, 8], [5, 15])


def test_the_offline_scenario_reads_the_tuned_split_unless_another_is_named(
    package: ModelPackage,
) -> None:
    tuned(package, Bench(split=1.5, small_batch=1.5))

    def settings(scenario: Offline, threads: int = 0) -> tuple[int, int, int]:
        report = profile(
            package.path,
            scenario=scenario,
            options=SessionOptions(threads=threads),
            runs=1,
            warmup=0,
            processes=1,
        )
        assert report.passes is not None
        played = report.settings.scenario
        return played["batch"], report.passes.sessions, report.passes.threads

    assert settings(Offline()) == (8, 2, 1)
    assert settings(Offline(sessions=1, batch=4)) == (4, 1, 1)
    assert settings(Offline(sessions=1), threads=2) == (8, 1, 2)


def test_a_split_holds_for_its_machine_and_its_provider_alone(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(package, Bench(split=1.5))
    variant = ModelPackage.open(package.path).variant()
    assert variant.split("cpu") is not None
    assert variant.split("cuda") is None
    monkeypatch.setattr(tuned_options, "machine_class", lambda: {"cpu": "another"})
    assert variant.split("cpu") is None


def test_a_machine_of_another_class_opens_the_package_as_it_was(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(package, Bench(spinning_off=1.3))
    monkeypatch.setattr(tuned_options, "machine_class", lambda: {"cpu": "another"})
    assert ModelPackage.open(package.path).variant().session_options == {}


def test_tuning_again_starts_from_the_defaults(package: ModelPackage) -> None:
    tuned(package, Bench(spinning_off=1.3))
    tuned(package, Bench(one_thread=1.4))
    assert ModelPackage.open(package.path).variant().session_options == {THREADS: "1"}


def test_what_is_tried_depends_on_the_threads() -> None:
    assert {"threads": "1"} not in single_settings(1)
    assert [s["threads"] for s in single_settings(8) if "threads" in s] == ["1", "4"]
    fixed = TensorSpec(name="x", dtype="float32", shape=(1, 3))
    free = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    assert offline_splits(2, [fixed]) == []
    assert {s.sessions for s in offline_splits(2, [free])} == {1, 2}
    assert {s.sessions for s in offline_splits(1, [free])} == {1}
    # Others are measured beside what the offline scenario does where nothing is tuned.
    untuned = Split(batch=OFFLINE_BATCH, sessions=2, threads=1)
    assert offline_splits(2, [free])[0] == offline_splits(2, [free], alone=2)[0] == untuned


def test_a_split_that_answers_otherwise_is_no_gain(package: ModelPackage) -> None:
    class Odd(Bench):
        def _beside(self, other: Model) -> Beside:
            self.agrees = other.offline is None
            return super()._beside(other)

    report = tuned(package, Odd(split=1.5, spinning_off=1.3))
    assert report.chosen == {"spinning": "off"}
    assert report.batch is None


def test_a_bare_model_cannot_be_tuned() -> None:
    with pytest.raises(InputError, match="bare model"):
        tune(GRAPH)


@pytest.mark.slow
def test_the_command_measures_and_prints(
    package: ModelPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["profile", str(package.path), "--tune", "--budget", "5", "-q"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scenario"] == "tuning"
    stages = {tried["stage"] for tried in document["tried"]}
    assert "screening" in stages
    assert {"batch", "sessions", "session_options", "machine"} <= document.keys()
