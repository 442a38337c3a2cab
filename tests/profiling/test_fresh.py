"""Functions called in fresh processes."""

import signal
import sys

import pytest

from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.runtime.fresh import ChildCrashedError, call_fresh

MODULE = "tests.profiling.ends_badly"


def test_a_banner_on_stdout_does_not_reach_the_answer() -> None:
    answer = call_fresh(MODULE, {"act": "banner"}, doing="starting")
    assert answer["done"] == "banner"
    assert "EP Error" in answer["stderr"]
    assert "more of it" in answer["stderr"]


def test_an_error_keeps_its_kind_and_its_three_parts() -> None:
    with pytest.raises(InputError) as caught:
        call_fresh(MODULE, {"act": "input"}, doing="starting")
    error = caught.value
    assert (error.problem, error.expected, error.fix) == ("a problem", "a value", "a remedy")
    with pytest.raises(SetupError, match="nothing here"):
        call_fresh(MODULE, {"act": "setup"}, doing="starting")


def test_a_warning_is_raised_again_here() -> None:
    with pytest.warns(ToolkitWarning, match="running on the CPU"):
        call_fresh(MODULE, {"act": "warn"}, doing="starting")


def test_a_bug_stays_a_bug_with_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="KeyError"):
        call_fresh(MODULE, {"act": "bug"}, doing="starting")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to end a process with")
def test_a_crash_is_named_by_its_signal() -> None:
    with pytest.raises(ChildCrashedError, match=signal.SIGABRT.name) as caught:
        call_fresh(MODULE, {"act": "crash"}, doing="measuring model.onnx")
    assert "measuring model.onnx" in caught.value.problem
    assert "by itself" in caught.value.expected
    assert "toolkit doctor" in caught.value.fix
