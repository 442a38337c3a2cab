"""A fresh profile beside a stored one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from toolkit.errors import CheckFailedError, InputError
from toolkit.profiling.sequential import RatioInterval
from toolkit.profiling.stored import Stored, StoredEnvironment

BETWEEN_PROCESSES = 0.04
"""What two processes of one program may differ by, as a half-width of log-ratios: 1.96 times the
square root of two times 1.5 %. Either profile is one process, and cannot see it."""


@dataclass(frozen=True, kw_only=True)
class BesideBaseline:
    """A fresh profile beside a stored one.

    Attributes:
        date: When the stored one was measured.
        interval: Fresh p50 over stored p50, with its 95 % interval.
        remarks: What differs between the two runs and may be the reason.
    """

    date: str
    interval: RatioInterval
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        ends = f"{self.interval.low:.3f} to {self.interval.high:.3f}"
        times = f"{self.interval.ratio:.3f} times its p50 (95 % interval {ends})"
        told = {
            "cannot tell": f"cannot tell this run from the baseline of {self.date}: {times}",
            "faster": f"faster than the baseline of {self.date}: {times}",
            "slower": f"slower than the baseline of {self.date}: {times}",
        }[self.interval.word]
        return "; ".join([told, *self.remarks])

    def as_json(self) -> dict[str, Any]:
        """The part `baseline` of `--json`."""
        return {
            "date": self.date,
            "ratio": self.interval.ratio,
            "interval_95": [self.interval.low, self.interval.high],
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
            raise CheckFailedError(self.sentence, expected=f"at most {factor:g} times its p50")


def beside_baseline(fresh: Mapping[str, Any], stored: Stored) -> BesideBaseline:
    """A fresh profile over a stored one.

    The two were not measured by turns: what the machine did otherwise at the other time is in the
    ratio, and no interval can know it. `--compare` measures by turns.

    Args:
        fresh: The document of a profile.
        stored: The baseline.

    Raises:
        InputError: The machines or what was measured differ, or one has no interval of p50.

    Source: G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures",
        Statistics in Medicine 27, 2008: the two half-widths and `BETWEEN_PROCESSES` are added in
        squares, on logarithms.
    """
    now = msgspec.convert(fresh, Stored)
    _check_same(now, stored)
    for result, name in ((now, "this run"), (stored, "the baseline")):
        if "p50" not in result.interval_95:
            raise InputError(
                f"{name} has too few runs for an interval of its p50", fix="--runs 400"
            )
    middle = math.log(now.latency_ms["p50"] / stored.latency_ms["p50"])
    now_below, now_above = _half_widths(now)
    then_below, then_above = _half_widths(stored)
    below = math.hypot(now_below, then_above, BETWEEN_PROCESSES)
    above = math.hypot(now_above, then_below, BETWEEN_PROCESSES)
    return BesideBaseline(
        date=stored.environment.date,
        interval=RatioInterval(
            ratio=math.exp(middle), low=math.exp(middle - below), high=math.exp(middle + above)
        ),
        remarks=_remarks(now.environment, stored.environment),
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
                expected="the same scenario, provider and shapes",
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


def _half_widths(result: Stored) -> tuple[float, float]:
    low, high = result.interval_95["p50"]
    middle = result.latency_ms["p50"]
    return math.log(middle / low), math.log(high / middle)
