"""How a search for quantized variants reads on a terminal."""

from typing import TYPE_CHECKING

from toolkit.cli import output

if TYPE_CHECKING:
    from toolkit.quantize import Candidate, QuantizeReport

WIDTH = 100


def show(report: "QuantizeReport", *, as_json: bool) -> None:
    """The document, or the table of all candidates and below it why each was kept or not."""
    if as_json:
        output.show_json(report.as_json())
        return
    metric = report.metric.replace("_", " ") or "metric"
    loss = "perplexity" if report.is_language else "drop"
    share = "within 10 %" if report.is_of_outputs else "agree"
    has_labels = bool(report.metric) or report.is_language
    heads = ["method", "size", "p50 ms", *([metric, loss] if has_labels else []), share]
    heads += ["SQNR dB"] if _shows_sqnr(report) else []
    rows = [
        _row(candidate, report.n, has_labels=has_labels, sqnr=_shows_sqnr(report))
        for candidate in (report.parent, *report.candidates)
    ]
    heads += ["flips", "change"]
    title = f"{report.n} samples, {report.seconds:.0f} s"
    output.show_table(title, heads, rows, note=_note(report), width=WIDTH)


def _shows_sqnr(report: "QuantizeReport") -> bool:
    """Whether a limit is on it."""
    return bool(report.limits.min_sqnr_db)


def _row(
    candidate: "Candidate", n: int, *, has_labels: bool = True, sqnr: bool = False
) -> list[str]:
    flips = candidate.most_flips
    name = candidate.variant if candidate.precision == "fp32" else candidate.method
    name += "*" if candidate.why and _is_partial(candidate, n) else ""
    return [
        f"{name}\nkept" if candidate.kept else name,
        output.size(candidate.size_bytes) if candidate.size_bytes else "",
        _latency(candidate),
        *(_against_labels(candidate) if has_labels else []),
        output.number(candidate.agreement, ".4f"),
        *([_sqnr(candidate)] if sqnr else []),
        "" if flips is None else str(flips[1]),
        output.number(candidate.largest_change, ".4f"),
    ]


def _against_labels(candidate: "Candidate") -> list[str]:
    return ["" if candidate.metric is None else _estimate(candidate), _loss(candidate)]


def _sqnr(candidate: "Candidate") -> str:
    """Of single runs, and below it where a model gets its own state back."""
    alone = output.number(candidate.sqnr_db, ".1f")
    own = output.number(candidate.unrolled_db, ".1f")
    return f"{alone}\n{own} unrolled" if own else alone


def _loss(candidate: "Candidate") -> str:
    """What the gate looks at: how far the metric falls, or a language model's perplexity rises."""
    if candidate.perplexity_rise is not None:
        return f"{candidate.perplexity_rise:+.1%}"
    return output.number(candidate.drop, ".4f")


def _latency(candidate: "Candidate") -> str:
    """The median, and below it the ratio, since candidates are timed under different load."""
    ratio = output.number(candidate.latency_ratio, ".2f")
    median = output.number(candidate.latency_ms, ".3f")
    return f"{median}\n{ratio} times" if ratio else median


def _is_partial(candidate: "Candidate", n: int) -> bool:
    return candidate.agreement is not None and candidate.samples < n


def _estimate(candidate: "Candidate") -> str:
    assert candidate.metric is not None
    low, high = candidate.metric.interval_95
    return f"{candidate.metric.value:.4f}\n{low:.3f}-{high:.3f}"


def _note(report: "QuantizeReport") -> str:
    lines = []
    for candidate in report.candidates:
        lines.append(f"{candidate.method}: {candidate.why}")
        if candidate.kept and candidate.kept_nodes:
            lines.append(f"  in float: {', '.join(candidate.kept_nodes)}")
    if any(_is_partial(candidate, report.n) for candidate in report.candidates):
        lines.append("* measured on a part of the samples, which was enough to refuse it")
    if report.is_of_outputs:
        lines.append(
            "within 10 %: samples whose outputs moved by at most a tenth of their norm, or of what "
            "is usual; which class is the largest is not looked at"
        )
    if report.calibration:
        drawn = f"{report.calibration['origin']}, seed {report.calibration['seed']}"
        lines.append(f"calibration: {drawn}")
    if report.environment.get("instruction_set"):
        portable = ", and for sums that saturate on AVX2" if report.isa == "portable" else ""
        lines.append(f"checked on: {report.environment['instruction_set']}{portable}")
    lines += [f"note: {note}" for note in report.notes]
    if report.stopped:
        lines.append(f"the search ended early: {report.stopped}")
    if report.output is not None:
        lines.append(f"{'replaced' if report.replaced else 'wrote'} {report.output}")
    elif report.chosen:
        done = "replaced {} in {}" if report.replaced else "added {} to {}"
        place = (
            "preferred" if report.preferred else f"behind {report.parent.variant}, which is faster"
        )
        lines.append(f"{done.format(report.chosen, report.package)}, {place}")
    return "\n".join(lines)
