"""Which of the candidates that keep their promises is the best."""

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
        variant="int8", method=name, size_bytes=25, latency_ratio=ratio, agreement=agreement
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


def test_a_growing_list_never_returns_to_one_that_lost() -> None:
    # Its graph is gone by then.
    found = [passed("a", 1.0, 0.98), passed("b", 1.09, 0.99), passed("c", 0.95, 0.97)]
    choices = [choosing.best(found[: k + 1], "balanced", parent_bytes=100) for k in range(3)]
    assert [one.method for one in choices if one is not None] == ["a", "b", "c"]
