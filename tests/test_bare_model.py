"""A bare `.onnx` file is known by its ending, however it is written, and has no variants."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_package import GRAPH
from toolkit import load, validate
from toolkit.errors import InputError
from toolkit.inspection.inspect import inspect_model
from toolkit.profiling.specification import open_model, parse
from toolkit.profiling.tune import tune


@pytest.fixture
def shouted(tmp_path: Path) -> Path:
    file = tmp_path / "MODEL.ONNX"
    shutil.copy(GRAPH, file)
    return file


@pytest.mark.parametrize("opened", [load, open_model, inspect_model, validate])
def test_the_ending_may_be_written_in_capitals(
    opened: Callable[[Path], object], shouted: Path
) -> None:
    assert opened(shouted)


def test_tuning_knows_it_too(shouted: Path) -> None:
    with pytest.raises(InputError, match="cannot hold what tuning finds"):
        tune(shouted)


@pytest.mark.parametrize("opened", [load, open_model, inspect_model, validate])
def test_a_variant_of_it_is_refused_alike(opened: Callable[..., object]) -> None:
    with pytest.raises(InputError, match="bare model: it has no variant 'int8'") as caught:
        opened(GRAPH, variant="int8")
    assert "--variant" in caught.value.fix


def test_a_contender_that_is_a_variant_of_it_is_refused() -> None:
    with pytest.raises(InputError, match="bare model: it has no variant 'int8'"):
        parse("@int8", open_model(GRAPH))
