"""Which of the candidates that keep their promises is the best."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from toolkit.quantize import choosing
from toolkit.quantize.report import Candidate, Objective


@pytest.mark.parametrize(
    "objective, chosen", [("latency", "fast"), ("size", "small"), ("balanced", "even")]
)
def test_the_objective_says_which_is_best(objective: Objective, chosen: str) -> None:
    found = [
        Candidate(variant="int8", method=name, size_bytes=size, latency_ratio=ratio)
        for name, size, ratio in (("fast", 90, 0.3), ("small", 20, 1.2), ("even", 40, 0.5))
    ]
    first = choosing.best(found, objective, parent_bytes=100)
    assert first is not None
    assert first.method == chosen


def passed(name: str, ratio: float, agreement: float | None) -> Candidate:
    return Candidate(
        variant="int8",
        method=name,
        size_bytes=25,
        latency_ratio=ratio,
        latency_ratio_95=(ratio, ratio),
        agreement=agreement,
    )


@pytest.mark.parametrize(
    "others, chosen",
    [
        ([("static", 0.61, 0.983), ("rowwise", 0.65, 0.9958)], "rowwise"),
        ([("rowwise", 0.65, 0.9958), ("static", 0.61, 0.983)], "rowwise"),
        ([("rowwise", 0.65, 0.9958), ("static", 0.40, 0.983)], "static"),
        ([("slow", 0.65, None), ("fast", 0.61, None)], "fast"),
    ],
)
def test_of_nearly_equals_the_one_that_agrees_most_is_chosen(
    others: list[tuple[str, float, float | None]], chosen: str
) -> None:
    first = choosing.best([passed(*one) for one in others], "balanced", parent_bytes=100)
    assert first is not None
    assert first.method == chosen


DRIFTING = (0.50, 0.990), (0.545, 0.991), (0.595, 0.992), (0.65, 0.993)
"""Time and agreement: each is within 10 % of the one before, and the last 30 % above the first."""


@pytest.mark.parametrize("objective", ["latency", "size", "balanced"])
def test_the_best_is_the_same_in_every_order_and_no_further_than_its_share_away(
    objective: Objective,
) -> None:
    found = [passed(f"m{i}", *one) for i, one in enumerate(DRIFTING)]
    for order in itertools.permutations(found):
        first = choosing.best(order, objective, parent_bytes=100)
        assert first is found[1]  # the one that agrees most within 10 % of the fastest


@pytest.mark.parametrize("objective", ["latency", "size", "balanced"])
def test_equals_are_told_apart_whatever_their_order(objective: Objective) -> None:
    found = [passed("b", 0.5, 0.99), passed("a", 0.5, 0.99), passed("c", 0.52, 0.99)]
    for order in itertools.permutations(found):
        assert choosing.best(order, objective, parent_bytes=100) is found[1]


def sized(name: str, size: int, ratio: float, agreement: float) -> Candidate:
    return replace(passed(name, ratio, agreement), size_bytes=size)


def test_by_size_no_time_is_given_away_for_agreement() -> None:
    small, slow = sized("small", 2500, 0.5, 0.9900), sized("slow", 2510, 2.0, 0.9905)
    close, large = sized("close", 2520, 0.53, 0.9903), sized("large", 2560, 0.2, 0.9990)
    for order in itertools.permutations([small, slow, close, large]):
        assert choosing.best(order, "size", parent_bytes=10000) is close
    for pair in itertools.permutations([small, slow]):
        assert choosing.best(pair, "size", parent_bytes=10000) is small


def test_by_size_files_that_are_as_small_are_told_apart_by_time() -> None:
    found = [sized("smallest", 2500, 2.0, 0.999), sized("fast", 2501, 0.5, 0.99)]
    for order in itertools.permutations(found):
        assert choosing.best(order, "size", parent_bytes=10000) is found[1]


@pytest.mark.parametrize(
    "objective, size, ratio, wins",
    [
        ("latency", 2600, 0.49, True),
        ("latency", 2400, 0.51, False),
        ("balanced", 2450, 0.50, True),
        ("balanced", 2550, 0.50, False),
        ("size", 2510, 0.49, True),
        ("size", 2490, 0.51, False),
        ("size", 2400, 3.00, True),
    ],
)
def test_what_would_win_costs_less_than_the_best_so_far(
    objective: Objective, size: int, ratio: float, wins: bool
) -> None:
    first = sized("first", 2500, 0.5, 0.995)
    missing = sized("missing", size, ratio, 0.9)
    assert choosing.would_win(missing, [first], objective, parent_bytes=10000) == wins
    assert choosing.would_win(missing, [], objective, parent_bytes=10000)


@pytest.mark.parametrize(
    "tried, spares",
    [
        ({}, True),
        ({"why": "other is as small, and faster", "beaten_by": "other"}, True),
        ({"why": "it does not run: an operator failed", "agreement": None}, False),
        ({"why": "agreement 0.9000 is below 0.99"}, False),
    ],
)
def test_only_what_passed_or_was_beaten_spares_methods_like_it(
    tried: dict[str, Any], spares: bool
) -> None:
    found = replace(passed("blocks4", 0.5, 0.99), **tried)
    assert (choosing.spared_by("blocks4-gptq", [found]) is found) == spares
    assert choosing.spared_by("static-minmax", [found]) is None


@pytest.mark.parametrize("objective", ["latency", "size", "balanced"])
def test_what_is_given_up_early_would_not_have_been_chosen(objective: Objective) -> None:
    outcomes = set()
    for percent in range(101, 130):
        first = sized("first", 2500, 0.5, 0.990)
        later = sized("later", 2451, 0.5 * percent / 100, 1.0)
        is_given_up = choosing.dominated_by(later, [first]) is first
        chosen = choosing.best([first, later], objective, parent_bytes=10000)
        assert not (is_given_up and chosen is later), percent
        outcomes.add((is_given_up, chosen is later))
    assert {(True, False), (False, True)} <= outcomes  # else this tests nothing


@pytest.mark.parametrize(
    "seen, known, certain",
    [
        ((0.268, 4.991), (0.48, 0.52), False),  # as two rounds give it
        ((1.0, 1.3), (0.3, 1.0), False),
        ((1.0, 1.3), (0.48, 0.52), True),
    ],
)
def test_a_candidate_is_given_up_only_where_both_intervals_say_so(
    seen: tuple[float, float], known: tuple[float, float], certain: bool
) -> None:
    first = replace(passed("first", 0.5, 0.99), latency_ratio_95=known)
    later = replace(passed("later", 1.157, None), latency_ratio_95=seen)
    assert (choosing.dominated_by(later, [first]) is first) == certain
    assert choosing.dominated_by(later, [first], certainly=False) is first
