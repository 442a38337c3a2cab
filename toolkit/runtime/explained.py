"""Why an execution provider runs nothing: ONNX Runtime says it in its log alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import StoppedError, ToolkitError

if TYPE_CHECKING:
    from toolkit.runtime.options import SessionOptions

_LINE = re.compile(r"\[([EW]):onnxruntime:[^\]]*\] (.*)")
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_TELLING = ("fail", "invalid", "unrecognized", "unable", "cannot", "not supported")
_CODE = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")


def reason_in(log: str) -> str:
    """The first error in a log of ONNX Runtime, or the first warning that tells of a failure.

    Args:
        log: What a session wrote to stderr while it was opened, of severity WARNING and above.

    Returns:
        Empty where the log says nothing of that kind.
    """
    warnings = []
    for line in _COLORS.sub("", log).splitlines():
        if found := _LINE.search(line):
            severity, text = found.groups()
            if severity == "E":
                return _CODE.sub("", text).strip()
            if any(word in text.lower() for word in _TELLING):
                warnings.append(text.strip())
    return warnings[0] if warnings else ""


def why_nothing(model: Path, options: "SessionOptions", config: Mapping[str, str]) -> str:
    """Why no node of a model is placed on the provider; empty where nothing says so.

    The session is opened once more in a fresh process, whose log can be read.

    Raises:
        StoppedError: The user interrupted it.
    """
    from toolkit.runtime.fresh import call_fresh

    request: dict[str, Any] = {
        "provider": str(options.provider),
        "model": str(model),
        "config": dict(config),
        "provider_options": dict(options.provider_options),
        "fix_shapes": dict(options.fix_shapes),
    }
    try:
        found = call_fresh("toolkit.runtime.probe", request, doing=f"asking {options.provider}")
    except StoppedError:
        raise
    except ToolkitError as error:
        return error.problem
    return reason_in(found["stderr"])
