"""What a profiled model is fed."""

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.profiling.feeds import profile_feeds, samples_per_run
from toolkit.tensors import TensorSpec

IDS = TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
MASK = TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence"))
IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 1, 8, 8))
UNNAMED = TensorSpec(name="x", dtype="float32", shape=("?", "?"))


def test_a_batch_of_one_is_what_nobody_asks_for() -> None:
    feeds = profile_feeds([IMAGE], reference=None, sizes={}, seed=0)
    assert feeds["image"].shape == (1, 1, 8, 8)


def test_random_feeds_follow_the_seed() -> None:
    first, again, other = (
        profile_feeds([IMAGE], reference=None, sizes={"batch": 2}, seed=seed)["image"]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_reference_gives_its_own_length_and_its_own_values() -> None:
    reference = {"input_ids": np.array([[5, 6, 7], [8, 9, 0]])}
    feeds = profile_feeds([IDS], reference=reference, sizes={}, seed=0)
    assert feeds["input_ids"].tolist() == [[5, 6, 7]]


def test_a_reference_is_repeated_and_cut_to_the_sizes_asked_for() -> None:
    reference = {"input_ids": np.array([[5, 6, 7], [8, 9, 0]])}
    sizes = {"batch": 3, "sequence": 4}
    feeds = profile_feeds([IDS], reference=reference, sizes=sizes, seed=0)
    assert feeds["input_ids"].tolist() == [[5, 6, 7, 5], [8, 9, 0, 8], [5, 6, 7, 5]]
    cut = profile_feeds([IDS], reference=reference, sizes={"sequence": 1}, seed=0)
    assert cut["input_ids"].tolist() == [[5]]


def test_a_reference_of_other_inputs_is_not_used() -> None:
    feeds = profile_feeds(
        [IDS, MASK], reference={"input_ids": np.array([[5]])}, sizes={"sequence": 2}, seed=0
    )
    assert sorted(feeds) == ["attention_mask", "input_ids"]
    assert feeds["input_ids"].max() <= 1


def test_the_missing_size_is_named_as_it_is_typed() -> None:
    with pytest.raises(InputError, match="sequence") as caught:
        profile_feeds([IDS, MASK], reference=None, sizes={}, seed=0)
    assert caught.value.fix == "--shape sequence=SIZE"


def test_a_dimension_without_a_name_is_reached_by_its_place() -> None:
    with pytest.raises(InputError) as caught:
        profile_feeds([UNNAMED], reference=None, sizes={}, seed=0)
    assert caught.value.fix == "--shape x:1=SIZE"
    feeds = profile_feeds([UNNAMED], reference=None, sizes={"x:0": 2, "x:1": 3}, seed=0)
    assert feeds["x"].shape == (2, 3)


def test_a_name_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="'length'") as caught:
        profile_feeds([IDS], reference=None, sizes={"length": 8}, seed=0)
    assert "batch, sequence" in caught.value.expected


def test_a_run_holds_as_many_samples_as_its_batch() -> None:
    feeds = profile_feeds([IDS, MASK], reference=None, sizes={"batch": 8, "sequence": 2}, seed=0)
    assert samples_per_run(feeds) == 8
    assert samples_per_run({"state": np.zeros((2, 1)), "x": np.zeros((4, 1))}) == 1
