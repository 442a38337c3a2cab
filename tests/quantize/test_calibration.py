"""The calibration set: what is drawn, that it streams, and what does not fit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir
import pytest

from tests.quantize.graphs import WIDTH, noise, normalized, ragged
from tests.quantize.packages import write_data, write_words_package
from toolkit.errors import InputError
from toolkit.evaluate.samples import read_samples
from toolkit.inference import load
from toolkit.quantize.calibration import BATCH, BATCH_CHARACTERS, Calibration, draw
from toolkit.quantize.context import Context, Grain
from toolkit.quantize.observing import observed_ranges
from toolkit.quantize.sensitivity import sensitivities
from toolkit.quantize.smoothing import migrate_scales
from toolkit.quantize.watching import watched
from toolkit.tasks import Item
from toolkit.tensors import Array, TensorSpec


def test_feeds_are_made_when_they_are_asked_for() -> None:
    asked: list[int] = []

    def encode(batch: Sequence[Item]) -> dict[str, Array]:
        asked.append(len(batch))
        return {"x": np.zeros((len(batch), 1), np.float32)}

    texts = tuple("a" * n for n in range(1, 400, 3))
    inputs = (TensorSpec(name="x", dtype="float32", shape=("batch", 1)),)
    calibration = Calibration(
        items=texts, encode=encode, inputs=inputs, origin="", sha256="", seed=0
    )
    stream = calibration.feeds()
    next(stream)
    assert asked == [BATCH]
    list(stream)
    assert sum(asked) == len(texts)
    assert min(asked) <= BATCH_CHARACTERS // 300  # long texts share a batch with few others
    assert sum(len(feeds["x"]) for feeds in calibration.feeds(limit=10)) == 10


def test_the_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    package = write_words_package(tmp_path / "words.ortpackage")
    data = write_data(tmp_path / "data.csv", package.path)
    model = load(package.path)
    samples = read_samples(data, package.contents.task)

    def drawn(seed: int) -> Calibration:
        task = package.contents.task
        return draw(samples, None, task, model.task.encode, model.session, count=20, seed=seed)

    assert drawn(1).items == drawn(1).items
    assert drawn(1).items != drawn(2).items
    assert (len(drawn(1)), drawn(1).seed, drawn(1).sha256) == (20, 1, samples.sha256)
    assert drawn(1).origin.startswith("20 of 60 samples")


def test_a_file_for_calibration_needs_no_labels(tmp_path: Path) -> None:
    package = write_words_package(tmp_path / "words.ortpackage")
    data = write_data(tmp_path / "data.csv", package.path)
    (tmp_path / "other.csv").write_text("text\nw1 w2\nw3\n")
    model, task = load(package.path), package.contents.task
    samples = read_samples(data, task)
    file = tmp_path / "other.csv"
    found = draw(samples, file, task, model.task.encode, model.session, count=9, seed=0)
    assert found.items == ("w1 w2", "w3")
    assert found.sha256 != samples.sha256
    assert "other.csv" in found.origin


def test_data_of_another_shape_is_refused() -> None:
    calibration = Calibration(
        items=(np.zeros((1, 3), np.float32),),
        encode=lambda batch: {"x": np.stack([*batch])},
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", "sequence", WIDTH)),),
        origin="",
        sha256="",
        seed=0,
    )
    with pytest.raises(InputError) as refused:
        list(calibration.feeds())
    assert "'x'" in refused.value.problem


def test_ranges_over_ragged_batches_are_those_of_all_values(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    calibration = ragged(20)
    found = observed_ranges(
        model, calibration.feeds(), "minmax", symmetric=False, operators=["MatMul"]
    )
    assert {*found} == {"n", "h", "o"}
    loaded = onnx_ir.load(model)
    (value,) = [node.outputs[0] for node in loaded.graph if node.name == "norm"]
    seen = [batch for (batch,) in watched(loaded, [value], calibration.feeds())]
    assert len({batch.shape for batch in seen}) > 1  # else this tests nothing
    low, high = (np.asarray(end).item() for end in found["n"])
    assert low == min(batch.min() for batch in seen)
    assert high == max(batch.max() for batch in seen)
    clipped = observed_ranges(
        model, calibration.feeds(), "percentile", symmetric=False, operators=["MatMul"]
    )
    low_then, high_then = (np.asarray(end).item() for end in clipped["n"])
    assert low <= low_then < high_then <= high
    assert (low, high) != (low_then, high_then)


def test_the_product_behind_wide_channels_is_the_most_sensitive(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged(20))
    found = sensitivities(model, context, grain="tensor", bits=8)
    assert [one.node for one in found] == ["first", "second"]
    assert found[0].noise > 2 * found[1].noise
    (only,) = sensitivities(
        model,
        Context(calibration=ragged(20), keep=frozenset({"first"})),
        grain="tensor",
        bits=8,
    )
    assert only.node == "second"
    assert only.noise == pytest.approx(found[1].noise)


def test_rounding_weights_alone_hurts_less_and_4_bits_more(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    context = Context(calibration=ragged(20))
    settings: list[tuple[Grain, int]] = [("none", 8), ("tensor", 8), ("none", 4)]
    totals = []
    for grain, bits in settings:
        found = sensitivities(model, context, grain=grain, bits=bits)
        totals.append(sum(one.noise for one in found))
    assert totals == sorted(totals)


def test_migrated_scales_change_nothing_in_float(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    target = tmp_path / "smoothed.onnx"
    assert migrate_scales(model, target, Context(calibration=ragged(20))) == 1
    assert noise(model, target, dict(next(ragged(8, seed=3).feeds()))) < 1e-5
    kept = Context(calibration=ragged(20), keep=frozenset({"first"}))
    assert migrate_scales(model, tmp_path / "none.onnx", kept) == 0
    assert not (tmp_path / "none.onnx").exists()
