"""One contender of a comparison, alive over a pipe: started as a script, never imported.

It takes one JSON request a line and gives one JSON answer a line. The script loads nothing of the
toolkit but its errors before it is told which contender it is, so that it runs in environments
that hold little more than the contender.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl: a stopped process cannot see its pipe close."""

Run = Callable[[], object]


def serve() -> None:
    """Answer requests until the pipe closes."""
    private = os.dup(1)
    os.dup2(2, 1)  # libraries print banners on stdout
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    run: Run | None = None
    with os.fdopen(private, "w") as answers:
        for line in sys.stdin:
            request = json.loads(line)
            answer: dict[str, Any]
            if request["do"] == "open":
                run, answer = opened(request)
            else:
                answer = measured(run, request)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def opened(request: dict[str, Any]) -> tuple[Run | None, dict[str, Any]]:
    """The contender's call, after its first run; or the error that it failed with."""
    from toolkit.errors import ToolkitError
    from toolkit.runtime.fresh import describe

    if request["cores"] and hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, request["cores"])
    module, _, function = request["factory"].partition(":")
    try:
        made = getattr(importlib.import_module(module), function)(**request["arguments"])
        run: Run = made.run
        run()
        if request["outputs"]:
            made.save(request["outputs"])
    except ToolkitError as error:
        return None, {"error": describe(error)}
    return run, {"facts": made.facts}


def measured(run: Run | None, request: dict[str, Any]) -> dict[str, Any]:
    """Times of `runs` runs after `lead` others, or of all runs within some seconds."""
    from toolkit.errors import ToolkitError
    from toolkit.runtime.fresh import describe

    assert run is not None
    clock_ns = time.perf_counter_ns
    times_ns: list[int] = []
    try:
        for _ in range(request["lead"]):
            run()
        end = clock_ns() + request["seconds"] * 1e9
        while len(times_ns) < request["runs"] or clock_ns() < end:
            start = clock_ns()
            run()
            times_ns.append(clock_ns() - start)
    except ToolkitError as error:
        return {"error": describe(error)}
    return {"times_ns": times_ns}


if __name__ == "__main__":
    serve()
