"""Session options that a package carries as text."""

from pathlib import Path

import pytest

from tests.tiny_package import GRAPH
from toolkit.errors import InputError
from toolkit.runtime import SessionOptions, open_session
from toolkit.runtime.entries import ARENA_KEY, LEVEL_KEY, PATTERN_KEY, SPINNING_KEY, THREADS_KEY
from toolkit.runtime.options import RECORD_KEY, ort_settings


def test_what_a_package_asks_for_reaches_the_fields_of_the_session() -> None:
    asked = {THREADS_KEY: "3", LEVEL_KEY: "enable_basic", ARENA_KEY: "0", PATTERN_KEY: "false"}
    settings = ort_settings(SessionOptions(), {**asked, SPINNING_KEY: "0"})
    assert settings.intra_op_num_threads == 3
    assert settings.graph_optimization_level.name == "ORT_ENABLE_BASIC"
    assert (settings.enable_cpu_mem_arena, settings.enable_mem_pattern) == (False, False)
    assert settings.get_session_config_entry(SPINNING_KEY) == "0"


def test_what_is_asked_for_here_goes_before_the_package() -> None:
    asked = {THREADS_KEY: "3", LEVEL_KEY: "enable_basic"}
    settings = ort_settings(SessionOptions(threads=2, graph_level="extended"), asked)
    assert settings.intra_op_num_threads == 2
    assert settings.graph_optimization_level.name == "ORT_ENABLE_EXTENDED"


def test_a_package_cannot_hide_where_its_nodes_run() -> None:
    session = open_session(Path(GRAPH), SessionOptions(), config={RECORD_KEY: "0"})
    assert session.placement["CPUExecutionProvider"] > 0


@pytest.mark.parametrize(
    "key, value", [(THREADS_KEY, "-1"), (LEVEL_KEY, "2"), (ARENA_KEY, "maybe"), (PATTERN_KEY, "")]
)
def test_a_value_that_onnxruntime_refuses_is_refused(key: str, value: str) -> None:
    with pytest.raises(InputError, match=key):
        open_session(Path(GRAPH), SessionOptions(), config={key: value})
