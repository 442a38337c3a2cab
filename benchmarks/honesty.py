"""`python -m benchmarks.honesty [--only PART]`: whether what the profiler says is true.

Three parts. "coverage": how often the 95 % intervals that are stated hold the truth, over simulated
runs of known distribution, bursts included, measured by the profiler's own loop. "comparison": a
model beside itself, and beside one of 5 % more work, on this machine. "rate": `--find-rate` beside
a long sweep of the same session. Writes benchmarks/honesty.md.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.overhead import WIDTH, write_model
from tests.profiling import test_honest_intervals as simulated
from toolkit.errors import CheckFailedError
from toolkit.machine import this_machine
from toolkit.profiling.arrivals import poisson, serve
from toolkit.profiling.compare import compare
from toolkit.profiling.measuring import Measuring
from toolkit.profiling.queries import Queries
from toolkit.profiling.scenarios import Effort, Server
from toolkit.profiling.statistics import LatencyReport, summarize
from toolkit.runtime import SessionOptions, open_session

RESULTS = Path(__file__).with_name("honesty.md")
LAYERS = 40
BOUND_MS = 10.0
SWEEP_STEP = 1.05


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.honesty", description=__doc__)
    parser.add_argument("--only", choices=["coverage", "comparison", "rate"])
    parser.add_argument("--simulated", type=int, default=200, help="simulated profiles of a kind")
    parser.add_argument("--comparisons", type=int, default=20, help="of equals, and of 5 %% more")
    parser.add_argument("--sweep", type=float, default=60.0, help="seconds a rate of the sweep")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    lines = ["# Honesty", "", "`python -m benchmarks.honesty` writes this file.", ""]
    if asked.only in {None, "coverage"}:
        lines += coverage(asked.simulated)
    with tempfile.TemporaryDirectory() as folder:
        if asked.only in {None, "comparison"}:
            lines += comparisons(Path(folder), asked.comparisons)
        if asked.only in {None, "rate"}:
            lines += rate(Path(folder), asked.sweep)
    date = datetime.now(UTC).date().isoformat()
    document = "\n".join([*lines, f"{date}; {this_machine().as_line()}", ""])
    print(document)
    asked.output.write_text(document, encoding="utf-8")


def coverage(count: int) -> list[str]:
    """A row for each distribution and percentile."""
    lines = [
        "| simulated runs | percentile | stated | of those, hold the truth |",
        "| --- | --- | --- | --- |",
    ]
    for draw in (simulated.log_normal, simulated.bimodal, simulated.rising, simulated.correlated):
        rng = np.random.default_rng(5)
        reports = [
            summarize((draw(rng, simulated.RUNS) * 1e6).tolist(), percentiles=simulated.ASKED)
            for _ in range(count)
        ]
        truths = {q: simulated.truth(draw, q) for q in simulated.ASKED}
        lines += _rows(draw.__name__.replace("_", "-"), reports, truths)
    for share in (0.04, 0.015):
        reports = [simulated.measured(share, seed) for seed in range(count)]
        every = simulated.bursting(np.random.default_rng(7), 4_000_000, share)
        truths = {q: float(np.percentile(every, q)) for q in simulated.ASKED}
        lines += _rows(f"bursts, {share:.1%} of 10 s", reports, truths)
    return [*lines, ""]


def _rows(name: str, reports: list[LatencyReport], truths: dict[float, float]) -> list[str]:
    rows = []
    for percentile, truth in truths.items():
        stated = [r.intervals_ms[percentile] for r in reports if percentile in r.intervals_ms]
        held = sum(low <= truth <= high for low, high in stated)
        share = f"{held / len(stated):.1%}" if stated else "none stated"
        rows.append(f"| {name} | p{percentile:g} | {len(stated)} of {len(reports)} | {share} |")
    return rows


def comparisons(folder: Path, count: int) -> list[str]:
    """How often equals are told apart, and 5 % more work is found within a minute."""
    base, same, more = (folder / f"{name}.onnx" for name in ("base", "same", "more"))
    for file, layers in ((base, LAYERS), (same, LAYERS), (more, LAYERS * 21 // 20)):
        write_model(file, layers=layers)
    lines = ["| a model beside | verdicts | median seconds |", "| --- | --- | --- |"]
    options = SessionOptions(threads=1)
    for other, name in ((same, "itself"), (more, "one of 5 % more work")):
        words: list[str] = []
        seconds: list[float] = []
        for seed in range(count):
            found = compare(base, [str(other)], options=options, budget_s=60.0, seed=seed)
            words.append(found.besides[0].interval.word)
            seconds.append(found.seconds)
        told = ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
        lines.append(f"| {name} | {told} | {np.median(seconds):.0f} |")
    return [*lines, ""]


def rate(folder: Path, sweep_s: float) -> list[str]:
    """The rate that is found beside the highest of a sweep that keeps the bound."""
    file = folder / "served.onnx"
    write_model(file, layers=LAYERS)
    session = open_session(file, SessionOptions(threads=1))
    feeds = {"x0": np.ones((1, WIDTH), np.float32)}
    queries = Queries(feeds=[feeds], kind="random", samples=1)
    measuring = Measuring(runs=[session.run], queries=queries, task=None, effort=Effort())
    began = time.monotonic()
    try:
        found, _ = measuring.measure(Server(latency_bound_ms=BOUND_MS))
    except CheckFailedError as error:
        return [f"no rate was found: {error.problem}", ""]
    seconds, highest = time.monotonic() - began, 0.0
    tried = float(found["rate_per_s"]) / SWEEP_STEP**4
    rows = []
    for _ in range(9):
        arrivals = poisson(int(tried * sweep_s), seed=99) / tried
        served = serve([session.run], [feeds], arrivals)
        p99_ms = float(np.percentile(served.latency_ns, 99, method="inverted_cdf")) / 1e6
        highest = tried if p99_ms < BOUND_MS else highest
        rows.append(f"| {tried:.4g} | {p99_ms:.4g} |")
        tried *= SWEEP_STEP
    ratio = f"{found['rate_per_s'] / highest:.3f} times" if highest else "below all of it;"
    told = (
        f"`--find-rate` for a p99 under {BOUND_MS:g} ms: {found['rate_per_s']:.4g} queries/s in "
        f"{seconds:.0f} s, {ratio} the highest of a sweep of {sweep_s:g} s a rate."
    )
    return [
        told,
        "",
        "| queries/s | p99, ms |",
        "| --- | --- |",
        *rows,
        "",
    ]


if __name__ == "__main__":
    main()
