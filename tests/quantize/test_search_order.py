"""What a search tries, what it gives up early, and what it spares."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from tests.quantize.packages import ruin, write_data
from toolkit.cli.quantized import _row
from toolkit.evaluate.agreement import Agreement
from toolkit.package import ModelPackage
from toolkit.profiling.paired import PairedLatency
from toolkit.quantize import (
    Limits,
    QuantizeFailedError,
    measuring,
    methods,
    quantize,
)
from toolkit.quantize.context import Context
from toolkit.quantize.methods import METHODS

FEW = ("weight-only", "dynamic", "static-minmax")


def test_sensitive_nodes_stay_in_float_until_the_limits_hold(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def rough(model: Path, target: Path, context: Context) -> int:
        count = weights.apply(model, target, context)
        return count if context.keep else ruin(target, target, context)

    weights = next(method for method in METHODS if method.name == "weight-only")
    monkeypatch.setattr(methods, "METHODS", (replace(weights, name="rough", apply=rough),))
    report = quantize(package.path, data, limits=Limits(max_drop=0.05), progress=told.append)
    assert [candidate.method for candidate in report.candidates] == ["rough", "rough-keep1"]
    assert report.candidates[1].kept
    (node,) = ModelPackage.open(package.path).variant("int8").contents.details["kept_nodes"]
    assert node in {"MatMul_2", "Gemm_4"}
    assert any("which nodes are sensitive" in line for line in told)


def test_a_screened_candidate_is_refused_on_a_part_of_the_samples(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "many.csv", package.path, rows=500)
    monkeypatch.setattr(methods, "METHODS", (replace(METHODS[0], apply=ruin, keeps_nodes=False),))
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(package.path, data, limits=Limits(min_agreement=0.9))
    (candidate,) = failed.value.report.candidates
    assert candidate.samples == measuring.SCREENED
    assert "cannot reach 0.9" in candidate.why
    assert "the metric drops by" in candidate.why


def test_a_slower_copy_of_what_passed_is_given_up_early(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = next(method for method in METHODS if method.name == "weight-only")
    times = itertools.chain([1.0, 1.0], itertools.repeat(3.0))

    def timed(*arguments: object, **keywords: object) -> PairedLatency:
        ratio = next(times)
        ends = (ratio * 0.9, ratio * 1.1)
        return PairedLatency(reference_ms=1.0, candidate_ms=ratio, ratio=ratio, ratio_95=ends)

    monkeypatch.setattr(measuring, "paired_latency", timed)
    monkeypatch.setattr(methods, "METHODS", (weights, replace(weights, name="again", rank=12)))
    report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    again = report.candidates[1]
    assert again.why == "weight-only is as small, and faster"
    assert again.beaten_by == "weight-only"
    assert again.first_look
    assert not report.candidates[0].first_look
    assert again.agreement is None


@pytest.mark.parametrize("passing", [True, False])
def test_methods_like_one_that_passed_are_not_tried(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch, passing: bool
) -> None:
    even = PairedLatency(reference_ms=1.0, candidate_ms=1.0, ratio=1.0, ratio_95=(0.9, 1.1))
    monkeypatch.setattr(measuring, "paired_latency", lambda *_, **__: even)
    weights = next(method for method in METHODS if method.name == "weight-only")
    names = ("blocks4", "other", "blocks4-gptq")
    made = [replace(weights, name=name, rank=rank) for rank, name in enumerate(names)]
    if not passing:
        made[0] = replace(made[0], apply=ruin, keeps_nodes=False)
    monkeypatch.setattr(methods, "METHODS", tuple(made))
    report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    assert [candidate.method for candidate in report.candidates] == [*names]
    last = report.candidates[-1]
    assert last.why.startswith("not tried: blocks4 is as small") == passing
    assert (last.agreement is None) == passing
    named = quantize(package.path, data, limits=Limits(max_drop=0.05), methods=names, force=True)
    assert named.candidates[-1].agreement is not None


def test_what_is_missed_on_all_samples_is_measured_no_further(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "many.csv", package.path, rows=500)
    monkeypatch.setattr(measuring, "SCREENED", 8)  # on which all agree
    limits = Limits(max_drop=1.0, min_agreement=0.9999)
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(package.path, data, methods=["blocks4"], limits=limits)
    (candidate, *_) = failed.value.report.candidates
    assert candidate.samples == 500
    assert candidate.agreement is not None
    assert candidate.most_flips is None
    assert "*" not in _row(candidate, failed.value.report.n)[0]


def test_one_that_lost_to_a_later_one_can_still_be_the_best_in_the_end(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second agrees more and is nearly as fast as the first, but not as the third."""
    weights = next(method for method in METHODS if method.name == "weight-only")
    facts = {"first": (1.0, 0.98), "second": (1.06, 0.99), "third": (0.94, 0.97)}
    ratios = iter([ratio for ratio, _ in facts.values() for _ in ("first look", "reported")])
    shares = iter([share for _, share in facts.values()])

    def timed(*arguments: object, **keywords: object) -> PairedLatency:
        ratio = next(ratios)
        return PairedLatency(reference_ms=1.0, candidate_ms=ratio, ratio=ratio, ratio_95=(0.9, 1.1))

    def close(*arguments: object) -> Agreement:
        return Agreement(share=next(shares), largest_change=0.0)

    monkeypatch.setattr(measuring, "paired_latency", timed)
    monkeypatch.setattr(measuring, "agreement", close)
    made = [replace(weights, name=name, rank=rank) for rank, name in enumerate(facts)]
    monkeypatch.setattr(methods, "METHODS", tuple(made))
    report = quantize(package.path, data, limits=Limits(max_drop=1.0))
    assert [(c.method, c.latency_ratio, c.agreement) for c in report.candidates] == [
        (name, *fact) for name, fact in facts.items()
    ]
    assert [candidate.method for candidate in report.candidates if candidate.kept] == ["first"]
    assert ModelPackage.open(package.path).variant("int8").contents.method == "first"


def test_what_only_seems_beaten_is_looked_at_again_and_measured_on(
    package: ModelPackage, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = next(method for method in METHODS if method.name == "weight-only")
    rounds: list[object] = []

    def timed(*arguments: object, **keywords: object) -> PairedLatency:
        rounds.append(keywords["rounds"])
        ratio, ends = (0.5, (0.4, 0.6)) if len(rounds) < 3 else (1.157, (0.268, 4.991))
        return PairedLatency(reference_ms=1.0, candidate_ms=ratio, ratio=ratio, ratio_95=ends)

    monkeypatch.setattr(measuring, "paired_latency", timed)
    monkeypatch.setattr(methods, "METHODS", (weights, replace(weights, name="again", rank=12)))
    report = quantize(package.path, data, limits=Limits(max_drop=0.05))
    again = report.candidates[1]
    first, second = (look[0] for look in measuring.LOOKS)
    assert rounds == [first, measuring.ROUNDS, first, second, measuring.ROUNDS]
    assert again.beaten_by == ""
    assert again.agreement is not None
    assert not again.first_look
    assert again.why == "weight-only is better"
