"""Why an execution provider runs nothing: ONNX Runtime says it in its log alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import SetupError, StoppedError, ToolkitError
from toolkit.runtime.cuda import NVIDIA
from toolkit.runtime.failures import UnknownChipError
from toolkit.runtime.option_types import Chip
from toolkit.runtime.provider_options import CHIPS, given_options
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.runtime.options import SessionOptions

_LINE = re.compile(r"\[([EW]):onnxruntime:[^\]]*\] (.*)")
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_TELLING = ("fail", "invalid", "unrecognized", "unable", "cannot", "not supported")
_CODE = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")

OR_FALL_BACK = ", or --allow-fallback to take the CPU"
"""The end of what to do about a provider that cannot run everything."""

_NO_DEVICE = "Failed to create device"
"""What QNN (2.7.0) says of a number that is none of its chips', and of options it cannot have."""


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


def missing_library(log: str) -> str:
    """The file that a dynamic loader could not find, in ONNX Runtime's log; empty for none.

    Source: the messages of glibc's dlopen, macOS's dyld and Windows's LoadLibrary, which ONNX
        Runtime repeats.
    """
    patterns = (
        r"([\w.+-]+\.so[\w.]*): cannot open shared object file",
        r"Library not loaded: \S*?([\w.+-]+\.dylib)",
        r'which depends on "([\w.+-]+\.dll)" which is missing',
        r'Error loading "\S*?([\w.+-]+\.dll)"',
    )
    for pattern in patterns:
        if found := re.search(pattern, log):
            return found.group(1)
    return ""


def nothing_runs(
    model: str, options: "SessionOptions", placement: Mapping[str, int], reason: str
) -> ToolkitError:
    """What to say of a provider that runs no node.

    Args:
        model: What the model is called.
        options: What was asked for.
        placement: Nodes by ONNX Runtime's provider name.
        reason: What `why_nothing` found; empty for nothing.

    Returns:
        An `UnknownChipError` where that is why; else a `SetupError`.
    """
    provider = options.provider
    given = given_options(provider, options.provider_options)
    chip = given.get("soc_model")
    # With a chip that is known, another option is wrong.
    if chip and _NO_DEVICE in reason and int(chip) not in dict(CHIPS).values():
        problem = f"{provider.ort_name} knows no chip {chip}"
        return UnknownChipError(problem, expected=Chip(CHIPS).expected)
    library = missing_library(reason)
    if library and provider not in NVIDIA:
        named = [name for name in ("backend_type", "backend_path") if name in given]
        fix = f"leave {named[0]} out" if named else provider.origin
        return SetupError(
            f"{provider.ort_name} does not start: the library {library} is missing",
            expected=f"{provider} with all of its libraries",
            fix=f"{fix}{OR_FALL_BACK}",
        )
    found = ", ".join(f"{n} on {name}" for name, n in placement.items())
    expected = "a graph with operators that it takes, and a machine that it runs on"
    fix = "toolkit inspect MODEL   (says what each provider takes)"
    if provider in NVIDIA and reason:
        expected = "a GPU with its driver, and the libraries of CUDA and cuDNN"
        fix = f"pip install 'onnx-edge-toolkit[{provider.extra}]'   (brings the libraries)"
    elif provider is Provider.QNN:
        expected += f"; as soc_model {Chip(CHIPS).expected}"
    return SetupError(
        f"{provider.ort_name} runs no node of {model}; ONNX Runtime placed "
        f"{found or 'none at all'}{f': {reason}' if reason else ''}",
        expected=expected,
        fix=f"{fix}{OR_FALL_BACK}",
    )


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
