"""The program as a process of its own, which ends with the command."""

import contextlib
import gc
import io
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = "interrupted: nothing was changed"
_USE_TORCH = ("train", "export", "demo")


def start() -> NoReturn:
    """Run the command that was typed, and end the process with its exit code.

    Measured on two x86-64 cores with onnxruntime 1.31 (2026-11-22): a whole `toolkit infer` takes
    a third less time with what is done here.
    """
    light = not any(word in _USE_TORCH for word in sys.argv[1:2])
    if light:
        # numpy's OpenBLAS starts a thread a core when it is imported; nothing here needs one.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000, 20, 20)  # importing makes objects, not garbage
    _write_any_text()
    interrupts = _note_interrupts()
    try:
        from toolkit.cli.main import main

        code = main(interrupts=interrupts)
    except BaseException:
        if not interrupts:
            raise
        sys.stderr.write(f"{INTERRUPTED}\n")  # a library that is half imported fails in any way
        code = 130
    if interrupts and code:
        code = 130
    if not light:
        # At the end the collector looks at every object of torch again, for a second.
        gc.disable()
        gc.freeze()
        sys.exit(code)
    with contextlib.suppress(BrokenPipeError):  # whoever read the output has left
        sys.stdout.flush()
        sys.stderr.flush()
    # Taking an interpreter with onnxruntime apart takes longer than parsing the command line.
    os._exit(code)


def _note_interrupts() -> list[int]:
    """Signals that interrupted this process, beside raising KeyboardInterrupt as usual."""
    seen: list[int] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
    return seen


def _write_any_text() -> None:
    """Let results hold any script: files and pipes get UTF-8, a terminal what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
