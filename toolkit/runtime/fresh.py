"""Calling a function in a fresh process: what it loads, leaks or prints stays there."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.errors import (
    CheckFailedError,
    InputError,
    SetupError,
    StoppedError,
    ToolkitError,
    ToolkitWarning,
)

Document = dict[str, Any]

_KINDS = {kind.__name__: kind for kind in (InputError, SetupError, CheckFailedError, StoppedError)}
_STDERR_SHOWN = 2000
GRACE_S = 10.0
"""How long an interrupted process may take to tell what it has found."""


class ChildCrashedError(InputError):
    """The process ended without an answer.

    Args:
        problem: What happened.
        stderr: What it printed last.
    """

    def __init__(self, problem: str, *, stderr: str) -> None:
        told = stderr.strip()[-_STDERR_SHOWN:]
        super().__init__(
            f"{problem}\n{told}" if told else problem,
            expected="a process that ends by itself: a crash comes from native code or from memory",
            fix="toolkit doctor   (says what is wrong with this machine), or smaller sizes",
        )
        self.stderr = stderr


def call_fresh(module: str, request: Document, *, doing: str) -> Document:
    """Run `python -m module` with a JSON request and return its JSON answer.

    Args:
        module: A module of the toolkit whose main part is `answer(...)`.
        request: What it reads on stdin.
        doing: What it is about, for messages: "measuring model.onnx".

    Returns:
        What the module's function returned, with what it wrote to stderr as "stderr".

    Raises:
        ToolkitError: What the function raised there, as the same kind.
        StoppedError: The user interrupted it, and it had nothing to tell.
        ChildCrashedError: The process was killed or crashed.
        RuntimeError: The function raised anything else, which is a bug; its traceback is inside.
    """
    process = subprocess.Popen(
        # The child looks for modules exactly where this process does; -P puts nothing before it.
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        },
    )
    with process:
        told, stderr_bytes = _answer_of(process, json.dumps(request).encode(), doing=doing)
    stderr = stderr_bytes.decode(errors="replace")
    if process.returncode == 1:  # a traceback: our bug, and to be seen as one
        raise RuntimeError(f"{doing}: the fresh process failed\n{stderr}")
    if process.returncode != 0:
        raise ChildCrashedError(f"{doing}: {_ending(process.returncode)}", stderr=stderr)
    answer: Document = json.loads(told)
    for text in answer.pop("warnings"):
        warnings.warn(text, ToolkitWarning, stacklevel=3)
    error = answer.pop("error")
    if error is not None:
        raise revive(error)
    result: Document = answer["result"]
    return {**result, "stderr": stderr}


def _answer_of(
    process: "subprocess.Popen[bytes]", request: bytes, *, doing: str
) -> tuple[bytes, bytes]:
    """What the process wrote to stdout and stderr; interrupted, it may still tell what it found."""
    try:
        return process.communicate(request)
    except KeyboardInterrupt:
        if sys.platform != "win32" and process.poll() is None:  # where the console tells all of it
            process.send_signal(signal.SIGINT)  # sent to this process alone, it would not know
        try:
            told = process.communicate(timeout=GRACE_S)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            told = b"", b""
        if told[0] and process.returncode == 0:
            return told
        raise StoppedError(f"interrupted while {doing}: nothing was changed") from None
    finally:
        if process.poll() is None:
            process.kill()


def answer(function: Callable[[Document], Document]) -> None:
    """The child's side: read the request on stdin, call the function, write its answer to stdout.

    ONNX Runtime can print a banner on stdout, so nothing but the answer may reach it.
    """
    private = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.read())
    error: Document | None = None
    result: Document = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ToolkitWarning)
        try:
            result = function(request)
        except ToolkitError as raised:
            error = describe(raised)
    document = {"result": result, "error": error, "warnings": [str(w.message) for w in caught]}
    with os.fdopen(private, "wb") as stream:
        stream.write(json.dumps(document).encode())


def describe(error: ToolkitError) -> Document:
    """An error as data; see `revive`."""
    kind = next(name for name, known in _KINDS.items() if isinstance(error, known))
    return {"kind": kind, "problem": error.problem, "expected": error.expected, "fix": error.fix}


def revive(error: Document) -> ToolkitError:
    """The error that was described."""
    return _KINDS[error["kind"]](error["problem"], expected=error["expected"], fix=error["fix"])


def _ending(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, str(-code))
    hint = ", often for want of memory" if name == "SIGKILL" else ""
    return f"the process was ended by {name}{hint}"
