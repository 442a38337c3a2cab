"""Session options that a package carries as text and Python's binding knows as fields.

ONNX Runtime's package API (seen with 1.29 and 1.31) reads these keys in a variant's
`session_options` and refuses a value that it does not know. Python's `add_session_config_entry`
(1.31) takes them too, and does nothing.
"""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import InputError

THREADS_KEY = "session.intra_op_num_threads"
LEVEL_KEY = "session.graph_optimization_level"
ARENA_KEY = "session.enable_cpu_mem_arena"
PATTERN_KEY = "session.enable_mem_pattern"
SPINNING_KEY = "session.intra_op.allow_spinning"

LEVEL_NAMES = {
    "none": "disable_all",
    "basic": "enable_basic",
    "extended": "enable_extended",
    "all": "enable_all",
}
"""Graph optimization levels: a package's word by ours."""

_SWITCHES = {"0": False, "1": True, "false": False, "true": True}
_SWITCH_FIELDS = {ARENA_KEY: "enable_cpu_mem_arena", PATTERN_KEY: "enable_mem_pattern"}


def threads_of(value: str) -> int:
    """Intra-op threads; 0 for as many as there are physical cores.

    Raises:
        InputError: It is no whole number.
    """
    if not value.isdecimal():
        raise InputError(f"the session option {THREADS_KEY} is {value!r}", expected="0 or more")
    return int(value)


def graph_level(name: str) -> Any:
    """ONNX Runtime's level by a package's word for it.

    Raises:
        InputError: There is no such level.
    """
    from onnxruntime import GraphOptimizationLevel

    levels = {
        "disable_all": GraphOptimizationLevel.ORT_DISABLE_ALL,
        "enable_basic": GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "enable_extended": GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "enable_all": GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    if name not in levels:
        raise InputError(
            f"the session option {LEVEL_KEY} is {name!r}", expected=f"one of {', '.join(levels)}"
        )
    return levels[name]


def set_field(settings: Any, key: str, value: str) -> bool:
    """Set what is a field in Python; says whether the key is one.

    Raises:
        InputError: The value is none of the key's.
    """
    if key == LEVEL_KEY:
        settings.graph_optimization_level = graph_level(value)
    elif key in _SWITCH_FIELDS:
        if value not in _SWITCHES:
            raise InputError(f"the session option {key} is {value!r}", expected="0 or 1")
        setattr(settings, _SWITCH_FIELDS[key], _SWITCHES[value])
    else:
        return False
    return True


def entries_text(config: Mapping[str, str]) -> str:
    """Session options as a reader knows them, without the words that all of them begin with."""
    return ", ".join(f"{key.removeprefix('session.')}={value}" for key, value in config.items())
