"""The processes of a comparison: started anew each round, one awake at a time."""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.runtime.fresh import ChildCrashedError, revive
from toolkit.tensors import Array

SCRIPT = Path(__file__).with_name("contender.py")
ROOT = Path(__file__).parents[2]

WARM_S = 0.25
WARM_RUNS = 3
BLOCK_MS = 10.0
"""Least time of one turn: a turn costs a switch of processes, and caches that are cold again."""

MOST_RUNS = 1000
"""In one turn; their median is the turn's time."""

LEAST_CYCLES = 5
CAN_STOP = hasattr(signal, "SIGSTOP")
"""Whether a process can be kept from taking any time; not on Windows."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What is measured, as the process that measures it is told.

    Attributes:
        name: For people.
        factory: "module:function"; called with the arguments, it returns an object with `run()`,
            `save(file)`, which writes the outputs as .npz, and `facts`.
        arguments: JSON values.
        python: The interpreter; this one when empty.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any]
    python: str = ""


@dataclass(kw_only=True)
class Rounds:
    """Measures rounds; see `judge`.

    While one contender is measured the others' processes are stopped by a signal, so that threads
    which spin between runs, as ONNX Runtime's and OpenMP's do, take no time from it. Where the
    system has no such signal, contenders are to be opened without spinning.

    Attributes:
        contenders: Two or more.
        seconds: Time of the turns of one round, without starting and warming up.
        seed: Of the order of starts and turns.
        outputs: A folder for `<position>.npz`, the outputs of each contender in the first round.
        facts: What each contender said of itself when it was opened last.
        latencies_ns: All turns of each contender so far, those of a round that failed too.
    """

    contenders: Sequence[Contender]
    seconds: float
    seed: int
    outputs: Path
    facts: list[dict[str, Any]] = field(default_factory=list)
    latencies_ns: list[list[float]] = field(default_factory=list)
    _made: int = 0

    def __call__(self) -> Array:
        """Times of one round: float64[cycles, contenders] in nanoseconds.

        Raises:
            ToolkitError: A contender cannot be opened, or fails while it runs.
        """
        order = random.Random(self.seed * 1000 + self._made)  # noqa: S311 - no secret
        positions = list(range(len(self.contenders)))
        with ExitStack() as stack:
            started = {
                i: stack.enter_context(_process(self.contenders[i]))
                for i in order.sample(positions, len(positions))
            }
            processes = [started[i] for i in positions]
            for i, process in started.items():
                process.send(
                    {
                        "do": "open",
                        "factory": self.contenders[i].factory,
                        "arguments": dict(self.contenders[i].arguments),
                        "cores": usable_cores(),
                        "outputs": "" if self._made else str(self.outputs / f"{i}.npz"),
                    }
                )
            self.facts = [process.receive()["facts"] for process in processes]
            for process in processes:
                process.stop()
            runs = [_runs_a_turn(process) for process in processes]
            self.latencies_ns = self.latencies_ns or [[] for _ in positions]
            cycles = self._cycles(processes, runs, order)
        self._made += 1
        return np.array(cycles)

    def _cycles(
        self, processes: Sequence["Process"], runs: Sequence[int], order: random.Random
    ) -> list[list[float]]:
        cycles: list[list[float]] = []
        end = time.monotonic() + self.seconds
        while len(cycles) < LEAST_CYCLES or time.monotonic() < end:
            turn = [0.0] * len(processes)
            for i in order.sample(range(len(processes)), len(processes)):
                turn[i] = statistics.median(processes[i].turn(lead=1, runs=runs[i]))
                self.latencies_ns[i].append(turn[i])
            cycles.append(turn)
        return cycles


class Process:
    """The parent's end of one contender's process."""

    def __init__(self, name: str, raw: "subprocess.Popen[str]", stderr: Path) -> None:
        self._name = name
        self._raw = raw
        self._stderr = stderr

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request.

        Raises:
            ChildCrashedError: The process has ended.
        """
        assert self._raw.stdin is not None
        try:
            self._raw.stdin.write(json.dumps(request) + "\n")
            self._raw.stdin.flush()
        except BrokenPipeError as error:
            raise self._crashed() from error

    def receive(self) -> dict[str, Any]:
        """The answer to the request.

        Raises:
            ToolkitError: What the contender raised.
            ChildCrashedError: The process has ended.
        """
        assert self._raw.stdout is not None
        line = self._raw.stdout.readline()
        if not line:
            raise self._crashed()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise revive(
                {
                    **error,
                    "problem": f"{self._name}: {error['problem']}",
                    "fix": error["fix"]
                    or "toolkit profile it alone: that says in which run it fails",
                }
            )
        return answer

    def turn(self, *, lead: int, runs: int, seconds: float = 0.0) -> list[int]:
        """Times in nanoseconds of the runs made while this process alone was awake."""
        self._signal("SIGCONT")
        self.send({"do": "measure", "lead": lead, "runs": runs, "seconds": seconds})
        times_ns: list[int] = self.receive()["times_ns"]
        self.stop()
        return times_ns

    def stop(self) -> None:
        """Keep the process from taking any time, until its turn."""
        self._signal("SIGSTOP")

    def _signal(self, name: str) -> None:
        if CAN_STOP and self._raw.poll() is None:
            self._raw.send_signal(getattr(signal, name))

    def _crashed(self) -> ChildCrashedError:
        code = self._raw.wait()
        told = self._stderr.read_text(errors="replace") if self._stderr.is_file() else ""
        return ChildCrashedError(
            f"{self._name}: its process ended with {code} in the middle of the comparison",
            stderr=told,
        )


def usable_cores() -> list[int]:
    """The cores that every contender is pinned to; empty where nothing can be pinned."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return sorted(os.sched_getaffinity(0))
    return []


@contextmanager
def _process(contender: Contender) -> Iterator[Process]:
    # Another interpreter must not see this one's packages.
    path = [str(ROOT)] if contender.python else [entry or str(Path.cwd()) for entry in sys.path]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "stderr"
        with told.open("w") as stderr:
            raw = subprocess.Popen(
                [contender.python or sys.executable, "-P", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            )
        try:
            yield Process(contender.name, raw, told)
        finally:
            raw.kill()
            raw.wait()
            for stream in (raw.stdin, raw.stdout):
                assert stream is not None
                with suppress(OSError):  # a request that the process did not live to read
                    stream.close()


def _runs_a_turn(process: Process) -> int:
    """Warm the contender up, and how many of its runs make a turn."""
    times_ns = process.turn(lead=0, runs=WARM_RUNS, seconds=WARM_S)
    run_ms = statistics.median(times_ns[len(times_ns) // 2 :]) / 1e6
    return max(1, min(MOST_RUNS, round(BLOCK_MS / max(run_ms, 1e-6))))
