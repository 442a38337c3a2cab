"""`python -m benchmarks.overhead`: what the profiler adds to the calls that it times.

One session of a model of about a millisecond, and two loops over it by turns, in blocks: a bare one
that any reader would write around `session.run`, and the profiler's own. Two figures: the
profiler's median over the bare loop's, block by block, and the time that a call costs more from
start to end of a block.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.pairs import Ratio
from toolkit.machine import this_machine
from toolkit.profiling.loop import Recording, record
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import interval_ranks
from toolkit.runtime import Session, SessionOptions, open_session

BLOCKS = 200
CALLS = 50
WIDTH = 512


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A median with its 95 % interval by order statistics."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def write_model(file: Path, *, layers: int) -> None:
    """Write a chain of matrix products, float32[batch, 512] to the same."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]))
        weight = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / np.float32(WIDTH)
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), file)


def bare(session: Session, feeds: dict[str, np.ndarray]) -> list[int]:
    """Durations of the calls of a block, timed as one would by hand."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter_ns()
        session.run(feeds)
        times.append(time.perf_counter_ns() - start)
    return times


def profiled(session: Session, feeds: dict[str, np.ndarray]) -> list[int]:
    """Durations of the calls of a block, timed by the profiler."""
    recording = Recording()
    record(session.run, [feeds], Effort(runs=CALLS), recording)
    return recording.times_ns


def overhead() -> tuple[Ratio, Interval]:
    """The profiler's median beside the bare loop's, and microseconds that a call costs more.

    Both loops call one session, so that its place in memory is no difference between them.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chain.onnx"
        write_model(file, layers=24)
        session = open_session(file, SessionOptions(threads=1))
        feeds = {"x0": np.ones((1, WIDTH), np.float32)}
        for call in (bare, profiled) * 3:
            call(session, feeds)
        medians, totals = np.empty((BLOCKS, 2)), np.empty((BLOCKS, 2))
        for block in range(BLOCKS):
            order = [(0, bare), (1, profiled)]
            for column, call in order if block % 2 else reversed(order):
                began = time.perf_counter_ns()
                times = call(session, feeds)
                totals[block, column] = (time.perf_counter_ns() - began) / CALLS
                medians[block, column] = np.median(times) / 1e6
    added_us = np.sort(totals[:, 1] - totals[:, 0]) / 1e3
    ranks = interval_ranks(BLOCKS, 50)
    assert ranks is not None
    ends = float(added_us[ranks[0] - 1]), float(added_us[ranks[1] - 1])
    return Ratio.of(medians), Interval(middle=float(np.median(added_us)), low=ends[0], high=ends[1])


def main() -> None:
    """Measure and print."""
    found, added = overhead()
    low, high = found.interval_95
    print(f"median of a call, bare: {found.reference_ms:.4f} ms")
    print(f"the profiler's over it: {found.ratio:.4f} ({low:.4f} to {high:.4f}); at most 1.01")
    print(f"a call costs {added} us more from block to block; at most 20")
    print(this_machine().as_line())


if __name__ == "__main__":
    main()
