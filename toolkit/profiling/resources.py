"""What a model costs besides time, in a fresh process: `python -m toolkit.profiling.resources`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError
from toolkit.profiling.energy import Gpu, GpuWatch, packages, read_uj, spent_joules
from toolkit.profiling.in_force import in_force
from toolkit.profiling.instrumented import Target, session_options, target_feeds
from toolkit.profiling.memory import Memory, memory, peak_rss_mb
from toolkit.runtime.fresh import answer, call_fresh

MODULE = "toolkit.profiling.resources"
RUNS = 400
WARMUP = 20
SECONDS = 5.0
"""Runs stop after this time, but not before `FEWEST_RUNS`."""
FEWEST_RUNS = 10


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one session costs its process. Memory in 10^6 bytes.

    Attributes:
        runs: Runs that CPU time and energy are of, after a warm-up.
        threads: Intra-op threads.
        empty: Memory with the libraries loaded and no model.
        loaded: Memory after session creation.
        steady: Memory after the runs.
        peak_rss_mb: The most that was resident; None where it cannot be read.
        model_load_mb: Resident memory that session creation added; None likewise.
        model_file_mb: Size of the model file, without external data.
        cpu_ms_per_run: CPU time of all threads, those that spin among them.
        wall_ms_per_run: Mean time of a run in the same runs.
        cpu_utilization: CPU time over time: cores' worth that were kept busy.
        energy_joules_per_run: Of the processor's packages, with all that ran on them meanwhile.
        gpus: What each GPU said meanwhile; None where nothing can be said.
        why_not: By field, why it is None.
    """

    runs: int
    threads: int
    empty: Memory
    loaded: Memory
    steady: Memory
    peak_rss_mb: float | None
    model_load_mb: float | None
    model_file_mb: float
    cpu_ms_per_run: float
    wall_ms_per_run: float
    cpu_utilization: float
    energy_joules_per_run: float | None
    gpus: tuple[Gpu, ...] | None
    why_not: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The part `resources` of the document of `--json`."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document


def measure_resources(target: Target, *, name: str) -> Resources:
    """Memory, CPU time and energy of a model, in a fresh process without instruments.

    Args:
        target: The model; `runs` is the most that are made.
        name: The model's, for messages.

    Raises:
        InputError: The model cannot be loaded or run, a size is missing, or no runs are asked for.
        SetupError: The provider cannot run here.
    """
    if target.runs < 1:
        raise InputError(f"{target.runs} runs cost nothing", expected="one run or more")
    document = call_fresh(MODULE, msgspec.to_builtins(target), doing=f"weighing {name}")
    del document["stderr"]
    return msgspec.convert(document, Resources)


def weigh(document: Mapping[str, Any]) -> dict[str, Any]:
    """The child's side of `measure_resources`."""
    from toolkit.runtime import open_session

    target = msgspec.convert(document, Target)
    model, options = Path(target.model), session_options(target.options)
    empty = memory()
    session = open_session(model, options, config=target.config)
    loaded = memory()
    feeds = target_feeds(target, session)
    for _ in range(target.warmup + 1):
        session.run(feeds)
    counters, no_energy = packages()
    with GpuWatch() as watch:
        before = read_uj(counters)
        runs, cpu_ns, wall_ns = _timed(lambda: session.run(feeds), target.runs)
        joules = spent_joules(counters, before, read_uj(counters))
    steady = memory()
    peak = peak_rss_mb()
    why_not = {}
    if not counters:
        why_not["energy_joules_per_run"] = no_energy
    if not watch.found:
        why_not["gpus"] = watch.why_not
    if loaded.rss_mb is None:
        why_not["model_load_mb"] = "the system does not tell what a process holds"
    if steady.pss_mb is None:
        why_not["pss_mb"] = "/proc/self/smaps_rollup cannot be read"
    if peak is None:
        why_not["peak_rss_mb"] = "the system does not tell the peak of a process"
    result: dict[str, Any] = msgspec.to_builtins(
        Resources(
            runs=runs,
            threads=in_force(options, target.config).threads,
            empty=empty,
            loaded=loaded,
            steady=steady,
            peak_rss_mb=peak,
            model_load_mb=_difference(loaded.rss_mb, empty.rss_mb),
            model_file_mb=model.stat().st_size / 1e6,
            cpu_ms_per_run=cpu_ns / runs / 1e6,
            wall_ms_per_run=wall_ns / runs / 1e6,
            cpu_utilization=cpu_ns / wall_ns,
            energy_joules_per_run=joules / runs if counters else None,
            gpus=watch.found or None,
            why_not=why_not,
        )
    )
    return result


def _timed(call: Any, most: int) -> tuple[int, int, int]:
    """Runs made, CPU time and time in nanoseconds.

    The system may count CPU time in steps of 10 ms, so that few runs say little.
    """
    until = time.perf_counter_ns() + int(SECONDS * 1e9)
    runs = 0
    cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
    while runs < most and (runs < FEWEST_RUNS or time.perf_counter_ns() < until):
        call()
        runs += 1
    return runs, time.process_time_ns() - cpu_start, time.perf_counter_ns() - start


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


if __name__ == "__main__":
    answer(weigh)
