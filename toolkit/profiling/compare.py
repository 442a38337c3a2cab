"""A model beside others: by turns, in new processes, with a ratio, its interval and a sentence."""

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from toolkit.errors import InputError, StoppedError, ToolkitError
from toolkit.machine import this_machine
from toolkit.npz import read_npz
from toolkit.package.integrity import file_sha256
from toolkit.profiling.comparison_report import Beside, ComparisonReport, agreement, sentence
from toolkit.profiling.distinct import distinct
from toolkit.profiling.processes import Contender, Rounds, usable_cores
from toolkit.profiling.sequential import LEAST_ROUNDS, RatioInterval, judge, overrun
from toolkit.profiling.specification import (
    Model,
    Peer,
    open_model,
    options_document,
    parse,
)
from toolkit.progress import Progress, silent
from toolkit.runtime import SessionOptions
from toolkit.runtime.entries import entries_text
from toolkit.runtime.fresh import call_fresh
from toolkit.tensors import Array

BUDGET_S = 60.0
TOLERANCE = 1e-3
"""Of the largest output: what fp32 kernels of different makes stay within, and int8 does not."""

ROUNDS_WANTED = 12
"""In the whole budget. More processes tell more than more pairs from the same processes."""

START_SHARE = 0.5
"""Of a round, taken by starting and warming up, before the first round has told how long it is."""


def compare(
    source: str | Path,
    against: Sequence[str],
    *,
    component: str | None = None,
    variant: str | None = None,
    options: SessionOptions | None = None,
    budget_s: float = BUDGET_S,
    factor: float | None = None,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    progress: Progress = silent,
) -> ComparisonReport:
    """Latency of a model over that of others, with 95 % intervals.

    Args:
        source: A model package, or an `.onnx` file.
        against: What it is compared with, as `--compare` takes it; see `specification`.
        component: The package's component; the first when not given.
        variant: The component's variant; the preferred one when not given.
        options: Provider, threads and the like; the CPU when not given.
        budget_s: Seconds after which the measuring ends at the latest, but not before
            `LEAST_ROUNDS` rounds.
        factor: The ratio that shall be told from, instead of 1: ends sooner for `check`.
        sizes: Sizes by dimension name, or by `input:axis`.
        seed: Seed of random feeds and of the order of turns.
        tolerance: Largest difference of outputs, as a share of the largest output.
        progress: Called with a line for each round.

    Raises:
        InputError: A contender does not exist, cannot be opened, or fails while it runs.
        ComparisonStoppedError: The user interrupted it.
        SetupError: A provider or a peer cannot run here.
    """
    subject = open_model(Path(source), component=component, variant=variant, options=options)
    others = [parse(text, subject) for text in against]
    return compare_models(
        subject,
        others,
        budget_s=budget_s,
        factor=factor,
        sizes=sizes,
        seed=seed,
        tolerance=tolerance,
        progress=progress,
    )


def compare_models(
    subject: Model,
    others: Sequence[Model | Peer],
    *,
    budget_s: float = BUDGET_S,
    factor: float | None = None,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    progress: Progress = silent,
) -> ComparisonReport:
    """The same for models that are open already; see `compare`."""
    check_budget(budget_s, factor)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feeds = folder / "feeds.npz"
        prepared = call_fresh(
            "toolkit.profiling.peers",
            {
                "model": str(subject.file),
                "options": options_document(subject.options),
                "config": dict(subject.config),
                "reference": str(subject.reference or ""),
                "sizes": dict(sizes or {}),
                "seed": seed,
                "feeds": str(feeds),
            },
            doing=f"preparing inputs of {subject.name}",
        )
        told = distinct([subject, *others])
        contenders = numbered([one.contender(feeds) for one in told])
        measured = Measured.of(
            contenders,
            budget_s=budget_s,
            factor=factor,
            seed=seed,
            folder=folder,
            progress=progress,
        )
        agreements = [
            agreement(measured.outputs[0], other, tolerance=tolerance)
            for other in measured.outputs[1:]
        ]
    names = [contender.name for contender in contenders]
    return ComparisonReport(
        subject=names[0],
        latency_ms=measured.latencies_ms[0],
        besides=[
            Beside(
                name=other,
                interval=interval,
                latency_ms=latency_ms,
                agreement=agreed,
                sentence=sentence(names[0], other, interval, agreed),
            )
            for other, interval, latency_ms, agreed in zip(
                names[1:], measured.intervals, measured.latencies_ms[1:], agreements, strict=True
            )
        ],
        rounds=measured.rounds,
        pairs=measured.pairs,
        seconds=measured.seconds,
        facts={
            name: {**facts, **_digests(one)}
            for name, facts, one in zip(names, measured.facts, told, strict=True)
        },
        notes=[
            *_notes(subject, names[1:], others),
            *overrun(measured.seconds, budget_s, measured.rounds),
        ],
        settings={
            "budget_s": budget_s,
            "factor": factor,
            "against": [other.again for other in told[1:]],
            "sizes": dict(sizes or {}),
            "seed": seed,
            "tolerance": tolerance,
            "cores": usable_cores(),
            "options": options_document(subject.options),
        },
        shapes=prepared["shapes"],
        inputs=prepared["inputs"],
        sha256=file_sha256(subject.file),
        machine=this_machine(),
        load_average=measured.load_average,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _digests(contender: Model | Peer) -> dict[str, str]:
    """What tells whether a model is the same one when a comparison is repeated."""
    if isinstance(contender, Peer):
        return {}
    return {"sha256": file_sha256(contender.file), "package_sha256": contender.package_sha256}


def _notes(subject: Model, names: Sequence[str], others: Sequence[Model | Peer]) -> list[str]:
    """What differs between contenders beside their names."""
    dropped = [
        name
        for name, other in zip(names, others, strict=True)
        if isinstance(other, Peer) and other.arguments.get("source") == str(subject.file)
    ]
    if not (dropped and subject.config):
        return []
    return [
        f"{name} runs with ONNX Runtime's own session options, without those of the package: "
        + entries_text(subject.config)
        for name in dropped
    ]


class ComparisonEndedError(ToolkitError):
    """A comparison ended before it could tell anything.

    Attributes:
        measured: Turns and their median in ms by contender, of all that were measured before.
    """

    def __init__(self, error: ToolkitError, measured: Mapping[str, Any]) -> None:
        turns = min(entry["turns"] for entry in measured.values())
        super().__init__(
            f"{error.problem}, after {turns} turns of each contender",
            expected=error.expected,
            fix=error.fix,
        )
        self.measured = measured


class ComparisonFailedError(ComparisonEndedError, InputError):
    """A contender failed in the middle of it."""

    def __init__(self, error: ToolkitError, measured: Mapping[str, Any]) -> None:
        super().__init__(error, measured)
        self.expected = error.expected or "contenders that run every time"


class ComparisonStoppedError(ComparisonEndedError, StoppedError):
    """The user interrupted it."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What contenders measured, before anybody says what it means.

    Attributes:
        intervals: The first contender over each other one.
        latencies_ms: Median of the turns of each.
        rounds: How often all processes were started anew.
        pairs: Turns of each.
        seconds: How long it took.
        facts: What each said of itself.
        outputs: What each answered, by output name.
        load_average: Before it began; None where the system does not tell.
    """

    intervals: Sequence[RatioInterval]
    latencies_ms: Sequence[float]
    rounds: int
    pairs: int
    seconds: float
    facts: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Array]]
    load_average: float | None

    @classmethod
    def of(
        cls,
        contenders: Sequence[Contender],
        *,
        budget_s: float,
        folder: Path,
        factor: float | None = None,
        seed: int = 0,
        progress: Progress = silent,
    ) -> "Measured":
        """Measure contenders; see `compare` for the arguments and errors."""
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # not on Windows
        seconds = budget_s / ROUNDS_WANTED * (1 - START_SHARE)
        rounds = Rounds(contenders=contenders, seconds=seconds, seed=seed, outputs=folder)
        made = 0

        def one_round() -> Array:
            nonlocal made
            made += 1
            progress(f"round {made}: {len(contenders)} new processes, measured by turns")
            return rounds()

        factors = (1.0,) if factor is None else (factor,)
        try:
            judged = judge(one_round, budget_s=budget_s, factors=factors)
        except (InputError, KeyboardInterrupt) as error:
            known = zip(contenders, rounds.latencies_ns, strict=False)
            so_far = {
                contender.name: {"turns": len(times), "p50_ms": median(times) / 1e6}
                for contender, times in known
                if times
            }
            if not so_far:
                raise
            if isinstance(error, KeyboardInterrupt):
                stopped = StoppedError("the comparison was interrupted")
                raise ComparisonStoppedError(stopped, so_far) from None
            raise ComparisonFailedError(error, so_far) from error
        return cls(
            intervals=judged.intervals,
            latencies_ms=[median(times) / 1e6 for times in rounds.latencies_ns],
            rounds=len(judged.rounds),
            pairs=sum(len(times) for times in judged.rounds),
            seconds=judged.seconds,
            facts=rounds.facts,
            outputs=[read_npz(folder / f"{i}.npz") for i in range(len(contenders))],
            load_average=load_average,
        )


def check_budget(budget_s: float, factor: float | None) -> None:
    """Refuse a comparison that can find nothing.

    Raises:
        InputError: The budget or the factor is not positive.
    """
    if not budget_s > 0:
        raise InputError(
            f"a budget of {budget_s:g} s measures nothing",
            expected=f"seconds; {LEAST_ROUNDS} rounds are measured in any case",
            fix="--budget 60",
        )
    if factor is not None and not (factor > 0 and math.isfinite(factor)):
        raise InputError(f"a factor of {factor:g}", expected="above 0, such as 1.05")


def numbered(contenders: Sequence[Contender]) -> list[Contender]:
    """Contenders whose names differ."""
    seen: dict[str, int] = {}
    found: list[Contender] = []
    for contender in contenders:
        seen[contender.name] = seen.get(contender.name, 0) + 1
        again = seen[contender.name]
        name = contender.name if again == 1 else f"{contender.name} ({again})"
        found.append(
            Contender(
                name=name,
                factory=contender.factory,
                arguments=contender.arguments,
                python=contender.python,
            )
        )
    return found
