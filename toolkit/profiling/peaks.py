"""What this machine reaches at best: arithmetic and memory, measured, not looked up."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import numpy as np

from toolkit.runtime.probe import RELU
from toolkit.tensors import Array

MATMUL = bytes.fromhex(
    "080a12003a370a110a01610a016212017922064d61744d756c1201675a090a016112040a0208015a090a016212040a"
    "02080162090a017912040a02080142040a001014"
)
"""y = MatMul(a, b) on float32 of any shape, so that the measurement needs no onnx."""
MATMUL_INTEGER = bytes.fromhex(
    "080a12003a3e0a180a01610a0162120179220d4d61744d756c496e74656765721201675a090a016112040a0208025a"
    "090a016212040a02080362090a017912040a02080642040a001014"
)
"""y = MatMulInteger(a, b) on uint8 and int8 of any shape."""
SIDES = (256, 512, 1024)
"""Of the square matrices: small ones stay in the caches, large ones hide what a call costs."""
WORKING_SETS = (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 27)
"""Bytes that a copy reads and writes on each thread: within the caches, and far beyond them."""
SECONDS = 0.3
"""For each measurement, after one call that is not timed; at least three calls are made."""


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """The best that was seen, which a busy machine lowers and nothing raises.

    Attributes:
        threads: Threads that worked.
        float32_gops: 10^9 operations a second of a float32 matrix product, multiply-add as two.
        int8_gops: The same of a uint8-by-int8 product.
        copy_gb_s: (bytes read and written by all threads, 10^9 bytes a second), by rising size.
        node_ms: A node that computes one element: what any node costs at least.
    """

    threads: int
    float32_gops: float
    int8_gops: float
    copy_gb_s: tuple[tuple[int, float], ...]
    node_ms: float

    @property
    def memory_gb_s(self) -> float:
        """Bandwidth of the largest working set, which no cache holds."""
        return self.copy_gb_s[-1][1]

    def bandwidth_gb_s(self, size_bytes: int) -> float:
        """Bandwidth of the smallest working set that is no smaller, so of the cache that holds it.

        Source: A. Ilic, F. Pratas, L. Sousa, "Cache-aware roofline model: upgrading the loft", IEEE
            Computer Architecture Letters 13 (1), 2014.
        """
        fitting = (speed for size, speed in self.copy_gb_s if size >= size_bytes)
        return next(fitting, self.memory_gb_s)

    def no_less_than(self, fewer: "Peaks") -> "Peaks":
        """These peaks, raised to those of fewer threads: the others could have idled.

        They come out lower only where something else took the cores meanwhile.
        """
        return Peaks(
            threads=self.threads,
            float32_gops=max(self.float32_gops, fewer.float32_gops),
            int8_gops=max(self.int8_gops, fewer.int8_gops),
            copy_gb_s=tuple(
                (size, max(speed, fewer.bandwidth_gb_s(size))) for size, speed in self.copy_gb_s
            ),
            node_ms=self.node_ms,
        )

    def gops(self, arithmetic: str) -> float:
        """Peak of an arithmetic, "float32" or "int8"."""
        return self.int8_gops if arithmetic == "int8" else self.float32_gops


def measure_peaks(*, threads: int, node_ms: float = 0.0, seconds: float = SECONDS) -> Peaks:
    """Peaks on a number of threads, through ONNX Runtime's own kernels.

    The right-hand matrix is an input and not a weight, so that every call packs it first: one part
    in `side` of the work.

    Args:
        threads: Threads to work with.
        node_ms: What a node costs at least, from a recording.
        seconds: For each of the measurements.
    """
    rng = np.random.default_rng(0)
    return Peaks(
        threads=threads,
        float32_gops=_product_gops(
            MATMUL, threads, seconds, lambda n: rng.random((n, n), dtype=np.float32), np.float32
        ),
        int8_gops=_product_gops(
            MATMUL_INTEGER,
            threads,
            seconds,
            lambda n: rng.integers(0, 127, (n, n), dtype=np.uint8),
            np.int8,
        ),
        copy_gb_s=tuple(
            (size * threads, _copy_gb_s(size, threads, seconds / 2)) for size in WORKING_SETS
        ),
        node_ms=node_ms,
    )


def write_single_node(folder: Path) -> Path:
    """A model of one node on one element, written; see `Peaks.node_ms`."""
    file = folder / "single_node.onnx"
    file.write_bytes(RELU)
    return file


def _product_gops(
    model: bytes,
    threads: int,
    seconds: float,
    matrix: Callable[[int], Array],
    right: type[np.generic],
) -> float:
    from toolkit.runtime import SessionOptions, open_session

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "product.onnx"
        file.write_bytes(model)
        session = open_session(file, SessionOptions(threads=threads))
    best = 0.0
    for side in SIDES:
        a = matrix(side)
        feeds = {"a": a, "b": a.astype(right)}
        shortest = _shortest_ns(lambda feeds=feeds: session.run(feeds), seconds / len(SIDES))  # type: ignore[misc]  # binds now
        best = max(best, 2 * side**3 / shortest)
    return best


def _copy_gb_s(working_set: int, threads: int, seconds: float) -> float:
    """Copies on all threads at once; each byte is read once and written once.

    Source: J. McCalpin, STREAM, the kernel "Copy", which counts the same two bytes.
    """
    length = working_set // 2
    repeats = max(1, (1 << 22) // length)  # makes a start together worth its price
    sources = [np.ones(length, np.uint8) for _ in range(threads)]
    targets = [np.empty_like(source) for source in sources]
    barrier = Barrier(threads)

    def copy(thread: int) -> tuple[int, int]:
        barrier.wait()
        start = time.perf_counter_ns()
        for _ in range(repeats):
            np.copyto(targets[thread], sources[thread])  # lets the other threads run meanwhile
        return start, time.perf_counter_ns()

    with ThreadPoolExecutor(threads) as pool:
        shortest = 0
        until = time.perf_counter_ns() + int(seconds * 1e9)
        turns = 0
        while turns < 4 or time.perf_counter_ns() < until:
            spans = list(pool.map(copy, range(threads)))
            elapsed = max(end for _, end in spans) - min(start for start, _ in spans)
            turns += 1
            if turns > 1:
                shortest = min(shortest or elapsed, elapsed)
    return working_set * threads * repeats / shortest


def _shortest_ns(call: Callable[[], object], seconds: float) -> int:
    call()
    shortest = 0
    until = time.perf_counter_ns() + int(seconds * 1e9)
    turns = 0
    while turns < 3 or time.perf_counter_ns() < until:
        start = time.perf_counter_ns()
        call()
        elapsed = time.perf_counter_ns() - start
        shortest = min(shortest or elapsed, elapsed)
        turns += 1
    return shortest
