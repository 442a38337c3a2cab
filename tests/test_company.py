"""The same input in other settings: what counts as depending on them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.quantize.packages import write_data, write_words_package
from toolkit.errors import InputError
from toolkit.evaluate.company import Setting, new_flips, other_settings
from toolkit.evaluate.samples import SampleOptions, Samples, read_samples
from toolkit.inference import Model, load
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import Task, TaskSpec

NAMES = [
    *("short mates", "long mates", "padding on the right", "padding on the left"),
    *("one thread", "two threads"),
]


def settings_of(model: Model, samples: Samples, file: Path) -> dict[str, Setting]:
    found = other_settings(
        model, samples, lambda threads: open_session(file, SessionOptions(threads=threads))
    )
    return {setting.name: setting for setting in found}


def test_a_float_model_with_a_mean_over_tokens_feels_padding_alone(tmp_path: Path) -> None:
    package = write_words_package(tmp_path / "words.ortpackage")
    data = write_data(tmp_path / "data.csv", package.path, rows=20)
    samples = read_samples(data, package.contents.task)
    model = load(package.path)
    found = settings_of(model, samples, package.variant("fp32").model)
    assert [*found] == NAMES
    for name in ("short mates", "long mates", "one thread", "two threads"):
        assert found[name].largest_change < 1e-5
    # It has no mask: padding is words to it. Nobody is to be blamed for that but the model.
    assert found["padding on the right"].largest_change > 1e-3
    assert new_flips([*found.values()], [*found.values()]).keys() == {
        *("short mates", "long mates", "one thread", "two threads")
    }


def test_a_graph_of_one_length_is_given_no_padding(tmp_path: Path) -> None:
    package = write_words_package(tmp_path / "words.ortpackage")  # takes up to 16 tokens by itself
    data = write_data(tmp_path / "data.csv", package.path, rows=4)
    samples = read_samples(data, package.contents.task)
    fixed = SessionOptions(fix_shapes={"sequence": 8})
    file = package.variant("fp32").model
    found = other_settings(
        load(package.path, options=fixed),
        samples,
        lambda threads: open_session(file, replace(fixed, threads=threads)),
    )
    assert [setting.name for setting in found] == [n for n in NAMES if "padding" not in n]


@pytest.mark.parametrize("change", [math.nan, math.inf])
def test_a_parent_without_numbers_excuses_no_flip(change: float) -> None:
    steady = Setting(name="one thread", flipped=frozenset(), largest_change=0.0, n=9)
    broken = Setting(name="long mates", flipped=frozenset(), largest_change=change, n=9)
    flipped = replace(broken, flipped=frozenset({1}), largest_change=0.2)
    with pytest.raises(InputError, match=f"change by {change} with long mates"):
        new_flips([steady, flipped], [steady, broken])
    assert new_flips([replace(steady, largest_change=change)], [steady]) == {"one thread": 0}


def test_mates_that_change_an_answer_are_found(tmp_path: Path) -> None:
    file = tmp_path / "mates.onnx"
    whole = helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0)  # over the whole batch
    nodes = [whole, helper.make_node("Div", ["x", "peak"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "mates",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)
    values = np.array([[1, 2], [3, 4], [50, 60], [0.1, 0.2]], np.float32)
    np.savez(tmp_path / "data.npz", x=values)
    task = TaskSpec(name="tensors")
    samples = read_samples(tmp_path / "data.npz", task, SampleOptions(labels=False))
    session = open_session(file, SessionOptions())
    found = settings_of(Model(file, "", session, Task(task, None)), samples, file)
    assert [*found] == ["short mates", "long mates", "one thread", "two threads"]
    assert found["long mates"].flipped == {0, 1, 3}  # all but the largest one itself
    assert not found["short mates"].flipped
    assert not found["two threads"].flipped


def test_what_the_parent_flips_too_does_not_count() -> None:
    def setting(name: str, flipped: set[int], change: float) -> Setting:
        return Setting(name=name, flipped=frozenset(flipped), largest_change=change, n=9)

    before = [setting("one thread", {1}, 1e-6), setting("padding on the left", set(), 0.5)]
    after = [setting("one thread", {1, 2}, 0.2), setting("padding on the left", {3}, 0.5)]
    assert new_flips(after, before) == {"one thread": 1}
