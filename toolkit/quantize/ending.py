"""How a search ends that adds nothing, or that was interrupted: what was tried, and what helps."""

import math

from toolkit.errors import CheckFailedError, StoppedError
from toolkit.quantize.choosing import NEITHER, quality_missed
from toolkit.quantize.report import Candidate, QuantizeReport


class QuantizeFailedError(CheckFailedError):
    """No candidate kept its promises.

    Attributes:
        report: What was tried.
    """

    def __init__(self, report: QuantizeReport) -> None:
        closest = report.closest
        ended = f" before {report.stopped}" if report.stopped else ""
        done = "written" if report.is_bare else "added"
        if closest is not None:
            tried = f"The closest was {closest.method}: {closest.why}"
        else:
            reasons = "; ".join(f"{one.method}: {one.why}" for one in report.candidates)
            tried = f"Tried {reasons}" if reasons else "No method was tried"
        super().__init__(
            f"no quantized variant of {report.package} kept its promises{ended}; nothing was "
            f"{done}",
            expected=f"{', '.join(_promises(report))}. {tried}",
            fix=_advice(report),
        )
        self.report = report


class QuantizeStoppedError(StoppedError):
    """The search was interrupted, and the best candidate that had passed by then was added.

    Attributes:
        report: What was tried and kept.
    """

    def __init__(self, report: QuantizeReport) -> None:
        done = f"{report.chosen} was added to {report.package}"
        if report.output is not None:
            done = f"{report.output} was written"
        super().__init__(f"interrupted; {done}: the best of what had kept its promises by then")
        self.report = report


def _promises(report: QuantizeReport) -> list[str]:
    """The limits that were held, in words."""
    limits = report.limits
    promises = []
    if report.is_language:
        promises.append(f"perplexity up by at most {limits.max_perplexity_rise:.1%}")
    elif report.metric:
        promises.append(f"a drop of at most {limits.max_drop:g}")
    if limits.min_agreement:
        promises.append(f"agreement of at least {limits.min_agreement:g}")
    if limits.min_sqnr_db:
        promises.append(f"an SQNR of at least {limits.min_sqnr_db:g} dB")
    return [*promises, f"at most {limits.max_batch_flips} batch flips", "smaller or faster"]


def _advice(report: QuantizeReport) -> str:
    """What may help: the options that the closest candidate would need, or why none would."""
    closest = report.closest
    if closest is None:
        if report.stopped:
            return "raise --budget, or name cheaper methods with --only"
        if any(one.saturation and one.why for one in report.candidates):
            return "--isa native, if the processors that it is for do not saturate, or keep fp32"
        return "toolkit inspect lists the operators of the model; keep it as it is"
    options = _options(closest, report)
    if not options:
        again = "raise --budget, or " if report.stopped else ""
        return f"{again}keep fp32: what the closest broke is no limit that can be moved"
    part = ""
    if closest.samples < report.n:
        part = f", as {closest.samples} of {report.n} samples say"
    return f"{' '.join(options)} if the use allows what {closest.method} does{part}, or keep fp32"


def _options(closest: Candidate, report: QuantizeReport) -> list[str]:
    """The options under which a candidate would pass."""
    limits, options = report.limits, []
    if NEITHER in closest.why:
        return []
    missed = " ".join(quality_missed(closest, limits))
    rise, drop = closest.perplexity_rise, closest.drop
    if rise is not None and "perplexity" in missed and math.isfinite(rise):
        options.append(f"--max-perplexity-rise {math.ceil(rise * 1e3) / 1e3:g}")
    if rise is None and drop is not None and not drop <= limits.max_drop and math.isfinite(drop):
        options.append(f"--max-drop {math.ceil(drop * 1e4) / 1e4:g}")
    if closest.agreement is not None and "agreement" in missed:
        options.append(f"--min-agreement {math.floor(closest.agreement * 1e4) / 1e4:g}")
    found = [one for one in (closest.sqnr_db, closest.unrolled_db) if one is not None]
    if "SQNR" in missed and all(map(math.isfinite, found)):
        options.append(f"--min-sqnr {math.floor(min(found) * 10) / 10:g}")
    flips = closest.most_flips
    if flips is not None and flips[1] > limits.max_batch_flips:
        options.append(f"--max-batch-flips {flips[1]}")
    return options
