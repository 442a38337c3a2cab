"""Ratios at several sizes joined to one, and the sizes that a graph is timed at."""

import math

import numpy as np
import pytest

from toolkit.optimize.report import Timing, not_faster, overall
from toolkit.optimize.sizing import Resizing
from toolkit.tensors import Array, TensorSpec


def timing(at: str, ratio: float, low: float, high: float) -> Timing:
    return Timing(at=at, latency_ms=1.0, parent_latency_ms=1.0, ratio=ratio, ratio_95=(low, high))


def test_sizes_are_joined_on_logarithms() -> None:
    one = timing("a", 0.5, 0.5 / 1.2, 0.5 * 1.2)
    other = timing("b", 2.0, 2.0 / 1.2, 2.0 * 1.2)
    ratio, (low, high) = overall([one, other])
    assert ratio == pytest.approx(1.0)
    half = math.sqrt(2) * math.log(1.2) / 2
    assert (low, high) == pytest.approx((math.exp(-half), math.exp(half)))
    assert not_faster([timing("a", 0.9, 0.8, 1.02)] * 4) == ""  # together they are certain


DECODER = (
    TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),
    TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "past + sequence")),
    TensorSpec(name="past", dtype="float32", shape=("batch", 2, "past", 4)),
)


@pytest.mark.parametrize("past", [0, 5])
def test_a_sum_of_dimensions_follows_its_parts(past: int) -> None:
    reference: dict[str, Array] = {
        "input_ids": np.arange(6).reshape(2, 3),
        "attention_mask": np.ones((2, past + 3), np.int64),
        "past": np.zeros((2, 2, past, 4), np.float32),
    }
    resizing = Resizing(DECODER, reference)
    assert resizing.sizes == {"batch": 2, "sequence": 3, "past": past}
    found = resizing.feeds({"batch": 1, "sequence": 4, "past": 0})
    assert [found[spec.name].shape for spec in DECODER] == [(1, 4), (1, 4), (1, 2, 0, 4)]
    others = [feeds for _, feeds in resizing.others(longest=None)]
    assert len(others) == 12
    for feeds in others:
        total = feeds["input_ids"].shape[1] + feeds["past"].shape[2]
        assert feeds["attention_mask"].shape[1] == total


def test_a_decoder_is_timed_at_single_tokens_and_at_a_prompt() -> None:
    reference: dict[str, Array] = {
        "input_ids": np.arange(6).reshape(2, 3),
        "attention_mask": np.ones((2, 5), np.int64),
        "past": np.zeros((2, 2, 2, 4), np.float32),
    }
    first = [sizes[0] for sizes in Resizing(DECODER, reference).timed(longest=100)]
    assert first == [
        {},
        {"batch": 1, "sequence": 1, "past": 8},
        {"batch": 1, "sequence": 1, "past": 100},
        {"batch": 1, "sequence": 64, "past": 0},
    ]
