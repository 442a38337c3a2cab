"""`python -m benchmarks [PACKAGE...]`: measures, prints, and writes benchmarks/results.md."""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measures import Settings, help_text, python_call, whole_process
from benchmarks.overhead import overhead
from benchmarks.packages import sentiment_lstm
from benchmarks.pairs import Ratio
from toolkit.machine import this_machine
from toolkit.package import ModelPackage

RESULTS = Path(__file__).with_name("results.md")
HEAD = """# Benchmarks

`make bench` writes this file. Two things are timed by turns, in new processes or in one process,
and each pair gives a ratio. Of whole processes, and of two loops over one session, the ratio here
is the median of the pairs, with its 95 % interval by order statistics; of calls that keep sessions
open, both are opened anew in rounds, and it is the mean of the rounds' medians on logarithms, with
Student's interval. "By hand" is `benchmarks/by_hand.py`: onnxruntime and tokenizers, no checks. It
knows the fast ways of both libraries, but as a process it starts and ends as Python does, where
`toolkit` keeps OpenBLAS to one thread, puts garbage collection off and skips the interpreter's
tear-down (`toolkit/cli/start.py`). A goal is reached when the whole interval is within it.
"""
Row = tuple[str, str, str, str, str, str]


def main() -> None:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("packages", nargs="*", type=Path, help="text-classification packages")
    parser.add_argument("--processes", type=int, default=Settings.processes, help="process pairs")
    parser.add_argument("--calls", type=int, default=Settings.calls, help="call pairs")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    settings = Settings(processes=asked.processes, calls=asked.calls)
    with tempfile.TemporaryDirectory() as folder:
        packages = asked.packages or [sentiment_lstm(Path(folder))]
        rows = [_help_row(settings), *_overhead_rows()]
        for path in packages:
            rows += _package_rows(ModelPackage.open(path), settings)
    text = _document(rows)
    print(text)
    asked.output.write_text(text, encoding="utf-8")


def _help_row(settings: Settings) -> Row:
    found = help_text(settings)
    # The ratio's interval, in time: the goal is a time.
    low, high = (end * found.reference_ms for end in found.interval_95)
    return (
        "`toolkit --help`, whole process, beside `python -c pass`",
        f"{found.reference_ms:.0f}",
        f"{found.candidate_ms:.0f}",
        _ratio(found),
        "0.25 s",
        _verdict((low, high), 250),
    )


def _overhead_rows() -> list[Row]:
    found, added = overhead()
    title = "`toolkit profile`'s timed loop over one session, beside a bare one"
    slower = f"{found.reference_ms + added.middle / 1e3:.3g}"
    return [
        _row(f"{title}: median", found, 1.01),
        (
            f"{title}: a call",
            f"{found.reference_ms:.3g}",
            slower,
            f"{added} us",
            "+20 us",
            _verdict((added.low, added.high), 20),
        ),
    ]


def _package_rows(package: ModelPackage, settings: Settings) -> list[Row]:
    name = package.manifest.package_name
    rows: list[Row] = []
    for variant in package.variants:
        title = f"{name} {variant.name}"
        process = whole_process(package, variant, settings)
        rows.append(_row(f"{title}: `toolkit infer`, whole process, by hand", process, 1.3))
        for threads in (0, 1):
            call = python_call(package, variant, settings, threads=threads)
            word = "one thread" if threads else "ONNX Runtime's threads"
            rows.append(_row(f"{title}: four Python calls, {word}, by hand", call, 1.05))
    sizes = {v.contents.precision: v.contents.size_bytes for v in package.variants}
    if {"fp32", "int8"} <= sizes.keys():
        smaller = sizes["fp32"] / sizes["int8"]
        verdict = "yes" if smaller >= 3 else "NO"
        fp32, int8 = (f"{sizes[precision] / 1e6:.2f} MB" for precision in ("fp32", "int8"))
        rows.append((f"{name}: size, fp32 over int8", fp32, int8, f"{smaller:.2f}", "3", verdict))
    return rows


def _row(title: str, found: Ratio, limit: float) -> Row:
    return (
        f"{title} ({found.pairs} pairs)",
        f"{found.reference_ms:.3g}",
        f"{found.candidate_ms:.3g}",
        _ratio(found),
        f"{limit}",
        _verdict(found.interval_95, limit),
    )


def _ratio(found: Ratio) -> str:
    return f"{found.ratio:.3f} ({found.interval_95[0]:.3f} to {found.interval_95[1]:.3f})"


def _verdict(interval: tuple[float, float], limit: float) -> str:
    """Whether a goal is reached, as far as the interval says."""
    low, high = interval
    if high <= limit:
        return "yes"
    return "NO" if low > limit else "cannot tell"


def _document(rows: list[Row]) -> str:
    columns = ("what, beside what", "reference, ms", "ours, ms", "ratio", "goal", "reached")
    lines = [columns, ("---",) * len(columns), *rows]
    table = "\n".join(f"| {' | '.join(row)} |" for row in lines)
    date = datetime.now(UTC).date().isoformat()
    return f"{HEAD}\n{date}; {this_machine().as_line()}\n\n{table}\n"


if __name__ == "__main__":
    main()
