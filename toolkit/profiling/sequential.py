"""Whether one latency is above another, judged while the evidence comes in.

The unit of evidence is the round: all contenders in new processes, measured by turns. What differs
between two processes of one program (where its memory lies, above all) is worth a percent or two
and stays as long as they live, so that thousands of pairs from one pair of processes agree with
each other and may all be wrong. Rounds are independent; pairs inside one are not, and count only
through their median. T. Kalibera, R. Jones, "Rigorous benchmarking in reasonable time", ISMM 2013.

Looking several times gives chance several tries. Each look therefore spends a part of one error
probability (K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials",
Biometrika 70, 1983), by the power family of K. Kim, D. L. DeMets, Biometrika 74, 1987. The parts
add up to `ERROR` at most, so that whatever the dependence between the looks the intervals hold the
truth at all looks together with 1 - `ERROR` (Bonferroni; C. Jennison, B. W. Turnbull, "Interim
analyses: the repeated confidence interval approach", J. R. Stat. Soc. B 51, 1989).
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit.tensors import Array

Seconds = Callable[[], float]
Word = Literal["faster", "slower", "cannot tell"]

ERROR = 0.02
"""Error probability of all looks together. 0.05 would do for a 95 % interval if rounds were normal
and equally noisy; they are not quite, and two equal contenders are to be told apart in fewer than
5 % of comparisons on any machine."""

LOOKS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the budget after which the evidence is judged."""

SPENDING_POWER = 2
NEAR = 1.01
"""Once a ratio is this close to a factor for certain, telling them apart is not worth the time."""

OVERRUN = 1.1
LEAST_ROUNDS = 3
"""Fewer carry no useful interval: Student's t with one degree of freedom."""


@dataclass(frozen=True, kw_only=True)
class RatioInterval:
    """A ratio of latencies with the interval that a look supports.

    Attributes:
        ratio: exp(mean of the rounds' logarithms).
        low: Lower end; 0 while the rounds are too few.
        high: Upper end; infinite while the rounds are too few.
    """

    ratio: float
    low: float
    high: float

    def excludes(self, factor: float) -> bool:
        """Whether the factor lies outside."""
        return not self.low <= factor <= self.high

    def answers(self, factor: float) -> bool:
        """Whether more rounds are of no use: told from the factor, or next to it for certain."""
        is_near = factor / NEAR < self.low and self.high < factor * NEAR
        return is_near or self.excludes(factor)

    @property
    def word(self) -> Word:
        """What the interval says of the first beside the second."""
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "cannot tell"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found when the measuring ended.

    Attributes:
        intervals: Latency of the first contender over that of each other one.
        rounds: Times of every round: float64[cycles, contenders], in nanoseconds.
        seconds: How long it took.
        is_decided: Whether it ended because every question was answered.
    """

    intervals: Sequence[RatioInterval]
    rounds: Sequence[Array]
    seconds: float
    is_decided: bool


def judge(
    measure_round: Callable[[], Array],
    *,
    budget_s: float,
    factors: Sequence[float] = (1.0,),
    clock_s: Seconds = time.monotonic,
) -> Judged:
    """Measure rounds until every ratio is told from every factor, or the budget is spent.

    A ratio that is within 1 % of a factor for certain counts as answered too.

    Args:
        measure_round: Starts all contenders anew and measures them by turns; returns
            float64[cycles, contenders] in nanoseconds.
        budget_s: Seconds that it may take. At least `LEAST_ROUNDS` rounds are measured.
        factors: What each ratio is to be told from; 1.0 asks "faster or slower".
        clock_s: A monotonic clock in seconds.
    """
    start = clock_s()
    rounds: list[Array] = []
    looks = list(LOOKS)
    spent = 0.0
    while True:
        rounds.append(measure_round())
        elapsed = clock_s() - start
        average = elapsed / len(rounds)
        is_last = elapsed + average > budget_s and len(rounds) >= LEAST_ROUNDS
        share = 1.0 if is_last else elapsed / budget_s
        if len(rounds) < LEAST_ROUNDS or share < looks[0]:
            continue
        looks = [look for look in looks if look > share]
        total = ERROR * share**SPENDING_POWER
        intervals = ratio_intervals(rounds, error=total - spent)
        spent = total
        is_decided = all(i.answers(factor) for i in intervals for factor in factors)
        if is_decided or is_last:
            return Judged(
                intervals=intervals, rounds=rounds, seconds=elapsed, is_decided=is_decided
            )


def overrun(seconds: float, budget_s: float, rounds: int) -> list[str]:
    """What is to be said where measuring took longer than it should have; nothing otherwise."""
    if seconds <= budget_s * OVERRUN:
        return []
    why = f"{LEAST_ROUNDS} rounds, each with new processes, are the fewest that carry an interval"
    return [f"took {seconds:.0f} s, over the budget of {budget_s:g} s, for {rounds} rounds: {why}"]


def ratio_intervals(rounds: Sequence[Array], *, error: float) -> list[RatioInterval]:
    """Latency of the first contender over that of each other one.

    Args:
        rounds: float64[cycles, contenders], at least two of them.
        error: Probability that an interval misses the truth.
    """
    logs = np.array([_round_logs(times) for times in rounds])  # [rounds, contenders - 1]
    return [log_interval([*column], error=error) for column in logs.T.tolist()]


def log_interval(logs: Sequence[float], *, error: float) -> RatioInterval:
    """Student's interval of the mean of the rounds' log-ratios, as a ratio.

    Args:
        logs: One a round, two or more.
        error: Probability of missing the truth, both sides together.
    """
    mean = statistics.fmean(logs)
    half = t_quantile(1 - error / 2, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    # Beyond e^700 floats end; an interval that wide says nothing anyway.
    return RatioInterval(
        ratio=math.exp(mean),
        low=math.exp(max(mean - half, -700)),
        high=math.exp(min(mean + half, 700)),
    )


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution.

    Args:
        probability: Above 0.5 and below 1.
        degrees: Degrees of freedom, one or more.
    """
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return high


def t_cdf(t: float, degrees: int) -> float:
    """Student's t distribution function at t >= 0, exact for whole degrees of freedom.

    Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(degrees))
    cosine = math.cos(angle)
    is_odd = degrees % 2 == 1
    term = cosine if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if is_odd else 2, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    central = 2 / math.pi * (angle + math.sin(angle) * total) if is_odd else math.sin(angle) * total
    return 0.5 + central / 2


def _round_logs(times: Array) -> Array:
    """float64[contenders - 1]: median over the cycles of log(first / other).

    The median leaves out cycles that something else on the machine disturbed.
    """
    logs = np.log(times)
    return np.asarray(np.median(logs[:, :1] - logs[:, 1:], axis=0))
