"""A fresh profile beside a stored one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from toolkit.errors import CheckFailedError, InputError
from toolkit.profiling.sequential import RatioInterval, t_quantile
from toolkit.profiling.stored import Stored, StoredEnvironment

LEFT_OUT = "what the machine did otherwise at the other time is in the ratio, not in the interval"
ERROR = 0.05
COMPARED = ("single-stream", "multi-stream")
SAME = (
    *("scenario", "threads", "spinning", "graph_level", "provider_options", "data", "data_sha256"),
    *("text_column", "where", "inputs", "inputs_sha256", "seed"),
)
"""Settings that decide what is measured."""


@dataclass(frozen=True, kw_only=True)
class BesideBaseline:
    """A fresh profile beside a stored one.

    Attributes:
        date: When the stored one was measured.
        interval: Fresh p50 over stored p50, means over their processes, with Student's interval
            from how far the processes of each are apart.
        remarks: What differs between the two runs and may be the reason.
    """

    date: str
    interval: RatioInterval
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        ends = f"{self.interval.low:.3f} to {self.interval.high:.3f}"
        times = f"{self.interval.ratio:.3f} times its p50 ({ends} by the spread of processes)"
        told = {
            "cannot tell": f"cannot tell this run from the baseline of {self.date}: {times}",
            "faster": f"faster than the baseline of {self.date}: {times}",
            "slower": f"slower than the baseline of {self.date}: {times}",
        }[self.interval.word]
        return "; ".join([told, *self.remarks, LEFT_OUT])

    def as_json(self) -> dict[str, Any]:
        """The part `baseline` of `--json`."""
        return {
            "date": self.date,
            "ratio": self.interval.ratio,
            "interval_by_processes": [self.interval.low, self.interval.high],
            "interval_leaves_out": LEFT_OUT,
            "verdict": self.interval.word,
            "remarks": list(self.remarks),
            "sentence": self.sentence,
        }

    def check(self, factor: float) -> None:
        """Fail when the fresh profile is slower by more than a factor.

        Raises:
            CheckFailedError: The whole interval lies above the factor.
        """
        if self.interval.low > factor:
            raise CheckFailedError(
                self.sentence,
                expected=f"at most {factor:g} times its p50",
                fix="toolkit profile NEW --compare OLD        (measures both by turns)",
            )


def beside_baseline(fresh: Mapping[str, Any], stored: Stored) -> BesideBaseline:
    """A fresh profile over a stored one.

    The two were not measured by turns: what the machine did otherwise at the other time is in the
    ratio, and no interval can know it. `--compare` measures by turns.

    Args:
        fresh: The document of a profile.
        stored: The baseline.

    Raises:
        InputError: The machines or what was measured differ, or one has no interval of p50.

    Source: Student's two-sample interval with the variance of both pooled, on logarithms.
    """
    now = msgspec.convert(fresh, Stored)
    check_comparable(stored)
    _check_same(now, stored)
    for result, name in ((now, "this run"), (stored, "the baseline")):
        if len(result.p50_by_process) < 2:
            raise InputError(
                f"{name} has its p50 from fewer than two processes: their spread is unknown",
                expected="a result of this version of toolkit profile",
                fix="toolkit profile OLD --json > BASELINE.json",
            )
    mine, theirs = np.log(now.p50_by_process), np.log(stored.p50_by_process)
    degrees = len(mine) + len(theirs) - 2
    squares = float(((mine - mine.mean()) ** 2).sum() + ((theirs - theirs.mean()) ** 2).sum())
    apart = math.sqrt(squares / degrees * (1 / len(mine) + 1 / len(theirs)))
    middle, half = float(mine.mean() - theirs.mean()), t_quantile(1 - ERROR / 2, degrees) * apart
    return BesideBaseline(
        date=stored.environment.date,
        interval=RatioInterval(
            ratio=math.exp(middle), low=math.exp(middle - half), high=math.exp(middle + half)
        ),
        remarks=_remarks(now.environment, stored.environment),
    )


def check_comparable(stored: Stored) -> None:
    """Refuse a baseline that nothing can be compared with, before anything is measured.

    Raises:
        InputError: Its scenario has no latency in several processes.
    """
    if stored.scenario not in COMPARED:
        raise InputError(
            f"the baseline is of the scenario {stored.scenario}: it was measured in one process, "
            "which says nothing of another",
            expected=f"a profile of {' or '.join(COMPARED)}",
            fix="leave --baseline out",
        )


def _check_same(now: Stored, then: Stored) -> None:
    here, there = now.environment, then.environment
    machine = [
        ("CPU", here.cpu, there.cpu),
        ("CPU features", sorted(here.cpu_features), sorted(there.cpu_features)),
        ("cores", here.cores, there.cores),
        ("CPU quota", here.cpu_quota, there.cpu_quota),
        ("system", _system(here), _system(there)),
    ]
    measured = [
        ("scenario", now.scenario, then.scenario),
        ("provider", now.provider, then.provider),
        ("input shapes", here.shapes, there.shapes),
        ("fixed shapes", now.settings.get("fix_shapes"), then.settings.get("fix_shapes") or {}),
        *((key.replace("_", " "), now.settings.get(key), then.settings.get(key)) for key in SAME),
    ]
    for what, mine, theirs in machine:
        if mine != theirs:
            raise InputError(
                f"the baseline is of another machine: its {what} {theirs!r}, here {mine!r}",
                expected="a baseline measured on a machine of this class",
                fix="measure both here: toolkit profile NEW --compare OLD",
            )
    for what, mine, theirs in measured:
        if mine != theirs:
            raise InputError(
                f"the baseline measured something else: its {what} {theirs!r}, now {mine!r}",
                expected="the same scenario, provider, session options, shapes and data",
                fix="toolkit profile PKG --replay BASELINE        (takes its settings)",
            )


def _remarks(here: StoredEnvironment, there: StoredEnvironment) -> tuple[str, ...]:
    found = [
        f"{name} is {here.versions.get(name, 'absent')}, was {there.versions.get(name, 'absent')}"
        for name in sorted(here.versions.keys() | there.versions.keys())
        if here.versions.get(name) != there.versions.get(name)
    ]
    if here.governor != there.governor:
        found.append(f"the governor is {here.governor!r}, was {there.governor!r}")
    if here.sha256 != there.sha256:
        found.append("the model is another file")
    return tuple(found)


def _system(environment: StoredEnvironment) -> str:
    words = environment.os.split() or [""]
    return f"{words[0]} {words[-1]}"  # without the release
