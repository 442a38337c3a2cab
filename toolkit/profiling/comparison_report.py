"""What a comparison found: data first, then a document or sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from toolkit import __version__
from toolkit.errors import CheckFailedError
from toolkit.evaluate.parity import compare_outputs
from toolkit.machine import Machine
from toolkit.profiling.sequential import ERROR, RatioInterval, Word
from toolkit.tensors import Array


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Whether two contenders give the same answers to the same inputs.

    Attributes:
        agrees: Whether they differ by the tolerance at most.
        difference: The largest difference, as a share of the largest output; infinite where the
            outputs cannot be compared.
        mismatch: Why they cannot be compared; empty where they were.
    """

    agrees: bool
    difference: float
    mismatch: str = ""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The subject beside one other contender.

    Attributes:
        name: The other one.
        interval: Latency of the subject over that of the other, with its interval.
        latency_ms: Median of the other's turns.
        agreement: Whether both give the same answers.
        sentence: What was found, in words.
    """

    name: str
    interval: RatioInterval
    latency_ms: float
    agreement: Agreement
    sentence: str

    @property
    def word(self) -> Word:
        """What the subject is beside the other."""
        return self.interval.word


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """What a comparison found.

    Attributes:
        subject: The model that was profiled.
        latency_ms: Median of its turns.
        besides: It beside each other contender.
        rounds: How often all processes were started anew.
        pairs: Turns of each contender.
        seconds: How long it took.
        facts: What each contender said of itself, by name.
        notes: What differs between contenders beside their names.
        settings: What was asked for; the same settings repeat the comparison.
        shapes: Shape by input.
        inputs: "reference" for the package's own, "random" for seeded ones.
        sha256: Digest of the subject's file.
        machine: Where it was measured.
        load_average: Processes that wanted to run, on average over the minute before; None where
            the system does not tell.
        date: UTC, ISO 8601.
    """

    subject: str
    latency_ms: float
    besides: Sequence[Beside]
    rounds: int
    pairs: int
    seconds: float
    facts: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]
    settings: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int]]
    inputs: str
    sha256: str
    machine: Machine
    load_average: float | None
    date: str

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "scenario": "comparison",
            "subject": self.subject,
            "latency_ms": {"p50": self.latency_ms},
            "comparisons": [
                {
                    "beside": beside.name,
                    "verdict": beside.word,
                    "ratio": beside.interval.ratio,
                    "interval_95": [beside.interval.low, _finite(beside.interval.high)],
                    "latency_ms": {"p50": beside.latency_ms},
                    "outputs": {
                        "agree": beside.agreement.agrees,
                        "difference": _finite(beside.agreement.difference),
                        "mismatch": beside.agreement.mismatch or None,
                    },
                    "sentence": beside.sentence,
                }
                for beside in self.besides
            ],
            "interval_error_at_most": ERROR,
            "rounds": self.rounds,
            "pairs": self.pairs,
            "seconds": self.seconds,
            "contenders": {name: dict(facts) for name, facts in self.facts.items()},
            "notes": list(self.notes),
            "settings": dict(self.settings),
            "environment": {
                "model": self.subject.partition("@")[0],
                "variant": self.subject.partition("@")[2],
                "sha256": self.sha256,
                "shapes": {name: list(shape) for name, shape in self.shapes.items()},
                "inputs": self.inputs,
                "load_average_1min": self.load_average,
                "toolkit": __version__,
                "date": self.date,
                **asdict(self.machine),
            },
        }

    def check(self, factor: float) -> None:
        """Fail when the subject is slower than another contender by more than a factor.

        Raises:
            CheckFailedError: The whole interval of a ratio lies above the factor.
        """
        for beside in self.besides:
            if beside.interval.low > factor:
                raise CheckFailedError(
                    f"{self.subject} is slower than {beside.name}: {_times(beside.interval)}",
                    expected=f"at most {factor:g} times its latency",
                )


def agreement(
    subject: Mapping[str, Array], other: Mapping[str, Array], *, tolerance: float
) -> Agreement:
    """Whether two contenders answered the same, however the outputs are called.

    Args:
        subject: Outputs by name.
        other: Outputs by name; matched by place where the names differ.
        tolerance: Largest difference, as a share of the largest number among the subject's.
    """
    if subject.keys() != other.keys() and len(subject) == len(other):
        other = dict(zip(subject, other.values(), strict=True))
    found = compare_outputs(subject, other)
    if found.mismatch:
        return Agreement(agrees=False, difference=math.inf, mismatch=found.mismatch)
    largest = max(
        (float(np.abs(a).max()) for a in subject.values() if a.size and a.dtype.kind in "fiu"),
        default=0.0,
    )
    if found.max_abs_error == 0.0:
        return Agreement(agrees=True, difference=0.0)
    difference = found.max_abs_error / largest if largest and largest < math.inf else math.inf
    return Agreement(agrees=difference <= tolerance, difference=difference)


def sentence(subject: str, other: str, interval: RatioInterval, agreed: Agreement) -> str:
    """What was found, in words."""
    if interval.word == "cannot tell":
        told = f"cannot tell {subject} from {other}: {_times(interval)}"
    else:
        told = f"{subject} is {interval.word} than {other}: {_times(interval)}"
    if agreed.agrees:
        return told
    why = agreed.mismatch or f"they differ by {100 * agreed.difference:.2g} % of the largest output"
    return f"{told}; but this compares different answers: {why}"


def _times(interval: RatioInterval) -> str:
    ends = f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{interval.ratio:.3f} times its latency (95 % interval {ends})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
