"""Which promises a candidate breaks, and which of those that keep them is the best."""

from collections.abc import Sequence
from dataclasses import replace

from toolkit.quantize.report import Candidate, Limits, Objective

SLOWER = 1.1
"""A smaller variant that takes this many times the parent's time stands behind it."""

AS_FAST = 1.1
"""Of candidates that take at most so many times the best one's time, or product of time and size,
the one that agrees with its parent most is chosen. Shared machines move a latency by a few percent
from run to run."""

AS_SMALL = 1.02
"""Files of at most so many times the smallest one's size count as equally small: two layouts of the
same weights differ by a little."""

CLEARLY_FASTER = 1 / (AS_FAST * AS_SMALL)
"""A candidate is given up after a first look at its latency where another one, as small as it,
takes at most this share of its time, whatever both take within their 95 % intervals: `best` would
not choose it, however well it agrees."""

ALIKE = (
    ("static-minmax-smooth", "static-minmax", "static-percentile", "static-entropy"),
    ("blocks4", "blocks4-hqq", "blocks4-gptq"),
)
"""Methods that write the same operators and choose other numbers for them: as small, no faster, and
maybe closer to the parent. They are tried until one of them keeps the promises or is beaten."""

MOST_DIGITS = 12
"""Behind the point, of a number beside the limit that it misses."""

NEITHER = "neither smaller nor faster than its parent"


def missed(candidate: Candidate, limits: Limits, *, parent_bytes: int) -> str:
    """The promises that a measured candidate breaks, separated by "; ", or nothing.

    Written so that a NaN, of a metric or of a limit, keeps nothing.
    """
    reasons = quality_missed(candidate, limits)
    flips = candidate.most_flips
    if flips is not None and flips[1] > limits.max_batch_flips:
        setting, count = flips
        reasons.append(f"{setting} change {count} answers, more than {limits.max_batch_flips}")
    if not (candidate.size_bytes < parent_bytes or is_faster(candidate)):
        reasons.append(NEITHER)
    return "; ".join(reasons)


def quality_missed(candidate: Candidate, limits: Limits) -> list[str]:
    """The promises on how close answers are to the parent's that a candidate breaks."""
    reasons: list[str] = []
    rise = candidate.perplexity_rise
    if rise is not None:
        if not rise <= limits.max_perplexity_rise:
            reasons.append(
                f"perplexity rises by {told(100 * rise, 100 * limits.max_perplexity_rise, 1)}%, "
                f"more than {100 * limits.max_perplexity_rise:.6g}%"
            )
    elif candidate.drop is not None and not candidate.drop <= limits.max_drop:
        drop = told(candidate.drop, limits.max_drop, 4)
        reasons.append(f"the metric drops by {drop}, more than {limits.max_drop:g}")
    if candidate.agreement is not None and not candidate.agreement >= limits.min_agreement:
        share = told(candidate.agreement, limits.min_agreement, 4)
        reasons.append(f"agreement {share} is below {limits.min_agreement:g}")
    if (
        limits.min_sqnr_db
        and candidate.sqnr_db is not None
        and not candidate.sqnr_db >= limits.min_sqnr_db
    ):
        sqnr = told(candidate.sqnr_db, limits.min_sqnr_db, 1)
        reasons.append(f"SQNR {sqnr} dB is below {limits.min_sqnr_db:g} dB")
    if (
        limits.min_sqnr_db
        and candidate.unrolled_db is not None
        and not candidate.unrolled_db >= limits.min_sqnr_db
    ):
        reasons.append(
            f"SQNR {told(candidate.unrolled_db, limits.min_sqnr_db, 1)} dB is below "
            f"{limits.min_sqnr_db:g} dB when it gets its own state back"
        )
    return reasons


def told(value: float, limit: float, digits: int) -> str:
    """A number with so many digits behind the point, or more where it would read as its limit."""
    more = digits
    while more < MOST_DIGITS and float(f"{value:.{more}f}") == float(f"{limit:.{more}f}"):
        more += 1
    return f"{value:.{more}f}"


def score(candidate: Candidate, objective: Objective, *, parent_bytes: int) -> float:
    """How good a candidate is that keeps its promises; lower is better."""
    share = candidate.size_bytes / parent_bytes
    ratio = candidate.latency_ratio or 1.0
    return {"latency": ratio, "size": share, "balanced": share * ratio}[objective]


def best(
    passed: Sequence[Candidate], objective: Objective, *, parent_bytes: int
) -> Candidate | None:
    """The best of the candidates that keep their promises, in whatever order; None of none.

    Of those whose score is within `AS_FAST` of the lowest one, it is the one that gives its
    parent's answers most often: static int8 that is a few percent faster than row-wise int8 and
    changes four times as many answers is not what anyone wants. By size, those within `AS_SMALL` of
    the smallest go on to be chosen by latency in the same way, so that no time is given away for a
    few more of the parent's answers. Equals are told apart by score, size and name.

    Args:
        passed: The candidates.
        objective: What is as low as can be.
        parent_bytes: Size of what they were made from.
    """

    def cost(one: Candidate) -> float:
        chosen_by: Objective = "latency" if objective == "size" else objective
        return score(one, chosen_by, parent_bytes=parent_bytes)

    if not passed:
        return None
    near = list(passed)
    if objective == "size":
        smallest = min(one.size_bytes for one in near)
        near = [one for one in near if one.size_bytes <= AS_SMALL * smallest]
    lowest = min(map(cost, near))
    near = [one for one in near if cost(one) <= AS_FAST * lowest]
    return min(
        near,
        key=lambda one: (-(one.agreement or 0.0), cost(one), one.size_bytes, one.method),
    )


def would_win(
    candidate: Candidate, passed: Sequence[Candidate], objective: Objective, *, parent_bytes: int
) -> bool:
    """Whether a candidate would be the best one if it agreed as the best one does."""
    first = best(passed, objective, parent_bytes=parent_bytes)
    if first is None:
        return True
    equal = replace(candidate, agreement=first.agreement)
    return best([*passed, equal], objective, parent_bytes=parent_bytes) is equal


def dominated_by(
    candidate: Candidate, passed: Sequence[Candidate], *, certainly: bool = True
) -> Candidate | None:
    """One that passed, is hardly larger and clearly faster; None where there is none.

    Args:
        candidate: After a look at its latency.
        passed: The candidates that kept their promises.
        certainly: Even if the candidate takes what its interval begins with, and the other one what
            its ends with. Otherwise as far as their ratios say.
    """
    for other in passed:
        if candidate.latency_ratio is None or other.latency_ratio is None:
            continue
        least, most = candidate.latency_ratio, other.latency_ratio
        if certainly:
            if candidate.latency_ratio_95 is None or other.latency_ratio_95 is None:
                continue
            least, most = candidate.latency_ratio_95[0], other.latency_ratio_95[1]
        if other.size_bytes <= AS_SMALL * candidate.size_bytes and most <= CLEARLY_FASTER * least:
            return other
    return None


def spared_by(method: str, tried: Sequence[Candidate]) -> Candidate | None:
    """A candidate of a method like this one, after which this one cannot be the best any more.

    It kept its promises, or was given up since another one is as small and clearly faster.
    """
    others = next((group for group in ALIKE if method in group), ())
    return next(
        (found for found in tried if found.method in others and (not found.why or found.beaten_by)),
        None,
    )


def is_preferred(candidate: Candidate) -> bool:
    """Whether the variant comes before its parent: it is smaller or faster, and not much slower."""
    low, _ = candidate.latency_ratio_95 or (1.0, 1.0)
    return low <= SLOWER


def is_faster(candidate: Candidate) -> bool:
    """Whether it is faster than its parent with 95 % confidence."""
    return candidate.latency_ratio_95 is not None and candidate.latency_ratio_95[1] < 1.0
