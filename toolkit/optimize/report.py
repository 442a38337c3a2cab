"""What `optimize` tried, measured and kept."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import CheckFailedError
from toolkit.evaluate.parity import Parity, worst

SLOWER = 1.02
"""At no size may a kept variant look as if it took more than so many times its parent's time."""


SQNR_DB = 40.0
"""Least signal-to-noise ratio of float16's outputs: an error of a hundredth of their size."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A candidate beside its parent at one size.

    Attributes:
        at: The size, in words.
        latency_ms: Median of the candidate.
        parent_latency_ms: Median of the parent, in runs interleaved with those.
        ratio: Candidate over parent.
        ratio_95: Its 95 % interval.
    """

    at: str
    latency_ms: float
    parent_latency_ms: float
    ratio: float
    ratio_95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to rewrite the graph, as checked and measured on this machine.

    Attributes:
        variant: The variant's name when it is kept.
        method: How it was made.
        precision: "fp32" or "fp16".
        size_bytes: Size of its files.
        changed: Nodes that the graph has more or fewer of a kind.
        max_abs_error: Largest difference from the parent's outputs, at all sizes compared.
        limit: Most that it may be; None where `sqnr_db` is what counts.
        sqnr_db: Least signal-to-noise ratio of an output against the parent's, for fp16.
        shapes: The sizes compared, in words.
        latency_ratio: Geometric mean, over the sizes timed, of the ratio to the parent.
        latency_ratio_95: Its 95 % interval.
        timings: Every size timed; empty where nothing was.
        kept: Whether it became a variant.
        why: The reason, in words.
    """

    variant: str
    method: str
    precision: str = "fp32"
    size_bytes: int = 0
    changed: int = 0
    max_abs_error: float | None = None
    limit: float | None = None
    sqnr_db: float | None = None
    shapes: tuple[str, ...] = ()
    latency_ratio: float | None = None
    latency_ratio_95: tuple[float, float] | None = None
    timings: tuple[Timing, ...] = ()
    kept: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class OptimizeReport:
    """What `optimize` tried and kept.

    Attributes:
        package: The package.
        component: The component in focus.
        parent: The variant that the candidates were made from.
        parent_size_bytes: Size of its files.
        variants: Names of the variants that were added; none where none was better.
        preferred: The one that now comes first; empty where the order is as before.
        candidates: Everything tried.
        provider: Where the latency was measured.
        threads: Intra-op threads asked for; 0 is the default.
        machine: The processor's name.
        replaced: Names of variants that stood there before.
    """

    package: Path
    component: str
    parent: str
    parent_size_bytes: int
    variants: tuple[str, ...]
    preferred: str
    candidates: tuple[Candidate, ...]
    provider: str
    threads: int
    machine: str
    replaced: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return {**document, "preferred": self.preferred or None}


class Float16FailedError(CheckFailedError):
    """float16 was asked for, and its answers are too far from float32's.

    Attributes:
        report: What was tried.
    """

    def __init__(self, report: OptimizeReport) -> None:
        why = "; ".join(candidate.why for candidate in report.candidates)
        super().__init__(
            f"no float16 variant of {report.package} could be added: {why}",
            expected="answers that stay near float32's; nothing was added",
            fix="keep fp32, or quantize the weights alone: toolkit quantize --only weight-only",
        )
        self.report = report


def with_parity(made: Candidate, found: Sequence[tuple[str, Parity]], *, limit: float) -> Candidate:
    """The candidate with how close it is to its parent and, where not close enough, why not.

    Args:
        made: The candidate.
        found: Its outputs beside the parent's at each size.
        limit: Most that an output of an fp32 candidate may differ by. An fp16 one is held to
            `SQNR_DB`.
    """
    together = worst(parity for _, parity in found)
    is_float16 = made.precision == "fp16"
    made = replace(
        made,
        max_abs_error=together.max_abs_error,
        limit=None if is_float16 else limit,
        sqnr_db=together.sqnr_db if is_float16 else None,
        shapes=tuple(at for at, _ in found),
    )
    for at, parity in found:
        if parity.mismatch or not (is_float16 or parity.within(limit)):
            return replace(made, why=f"parity at {at}: {parity}; the limit is {limit:g}")
        if is_float16 and not parity.sqnr_db >= SQNR_DB:
            noise = f"{parity.sqnr_db:.1f} dB, below {SQNR_DB:g} dB"
            return replace(made, why=f"parity at {at}: signal to noise {noise}")
    return made


def overall(timings: Sequence[Timing]) -> tuple[float, tuple[float, float]]:
    """The geometric mean of the ratios and its 95 % interval.

    The sizes are measured apart, so that their errors are independent: the half-widths, on
    logarithms, add up as the root of their squares.

    Args:
        timings: One a size; at least one.
    """
    logs = [math.log(timing.ratio) for timing in timings]
    mean = statistics.fmean(logs)
    pairs = [*zip(logs, timings, strict=True)]
    below = math.hypot(*(log - math.log(timing.ratio_95[0]) for log, timing in pairs))
    above = math.hypot(*(math.log(timing.ratio_95[1]) - log for log, timing in pairs))
    return math.exp(mean), (math.exp(mean - below / len(logs)), math.exp(mean + above / len(logs)))


def not_faster(timings: Sequence[Timing]) -> str:
    """Why a candidate is not faster; empty if it is.

    It is when the interval over all sizes lies below 1 and at no size the ratio is above `SLOWER`.
    A single size need not be decided for certain: on a busy machine hardly any would be.

    Written so that a NaN keeps nothing.
    """
    ratio, (low, high) = overall(timings)
    if low > 1:
        return f"slower: {_times(ratio, low, high)}"
    for timing in timings:
        if timing.ratio_95[0] > SLOWER:
            return f"slower at {timing.at}: {_times(timing.ratio, *timing.ratio_95)}"
    if not high < 1:
        return f"cannot tell: {_times(ratio, low, high)}"
    for timing in timings:
        if not timing.ratio <= SLOWER:
            return f"cannot tell at {timing.at}: {_times(timing.ratio, *timing.ratio_95)}"
    return ""


def _times(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.3f} times the parent's time ({low:.3f} to {high:.3f})"
