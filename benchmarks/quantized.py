"""`python -m benchmarks.quantized`: what quantizing does to other architectures than BERT.

A DistilBERT, a ViT and the LSTM recipe, trained here, each quantized by several methods and judged
on its test split. Writes benchmarks/quantized.md.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.quantized_models import distilbert, lstm, vit
from toolkit import quantize
from toolkit.evaluate.samples import SampleOptions, read_samples
from toolkit.machine import this_machine
from toolkit.package import ModelPackage
from toolkit.profiling.paired import paired_latency
from toolkit.quantize import Candidate, Limits, QuantizeFailedError
from toolkit.quantize.choosing import quality_missed
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tensors import Feeds, make_feeds

RESULTS = Path(__file__).with_name("quantized.md")
PLAIN = "dynamic"
METHODS = (PLAIN, "rowwise", "static-minmax-smooth", "blocks8", "weight-only")
ANYTHING = Limits(max_drop=1.0, max_batch_flips=10**9)
"""So that every method is measured to the end, whatever it breaks."""
HELD = Limits(max_drop=0.005, min_agreement=0.99)
"""What the table calls kept."""

TEST = {"split": "test"}
TEXTS = [{"batch": batch, "sequence": tokens} for batch, tokens in ((1, 10), (1, 32), (8, 32))]

HEAD = """# Quantized: other architectures

`python -m benchmarks.quantized` writes this file. Each model is trained here and quantized by each
method, whatever it breaks; all figures are of samples of its test split. Size: the file, as a share
of fp32's. Drop: of the accuracy, in points. Agreement: labels that are fp32's. Flips: labels that
batch mates, padding or the number of threads change, the worst setting. Time: the process's CPU
time for a run on one thread and on two, over that of plain dynamic int8 (onnxruntime's, per
channel), sessions opened anew in rounds and run by turns; with its 95 % interval. Kept: at most
half a point of drop, 99 % agreement, no flips.
"""
COLUMNS = ("method", "size", "drop", "agreement", "flips", "time, 1 thread", "2 threads", "kept")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model, its data, and the sizes that runs are timed at.

    Attributes:
        name: What it is.
        package: Its package.
        data: Labeled samples.
        where: Which of them count.
        sizes: Sizes of symbolic dimensions.
    """

    name: str
    package: Path
    data: Path
    where: dict[str, str] | None
    sizes: Sequence[dict[str, int]]


def main() -> None:
    """Train, quantize, time, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantized", description=__doc__)
    parser.add_argument("--only", choices=[*CASES], help="one model; all by default")
    parser.add_argument("--samples", type=int, default=600, help="most samples of a test split")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    date = datetime.now(UTC).date().isoformat()
    lines = [HEAD, f"{date}; {this_machine().as_line()}"]
    for name, case in CASES.items():
        if asked.only in {None, name}:
            with tempfile.TemporaryDirectory() as folder:
                lines += ["", *_table(case(Path(folder)), asked.samples)]
    document = "\n".join([*lines, ""])
    print(document)
    asked.output.write_text(document, encoding="utf-8")


def _distilbert(folder: Path) -> Case:
    package, data = distilbert(folder)
    name = "DistilBERT, 3 layers of width 384, fine-tuned on reviews"
    return Case(name=name, package=package, data=data, where=TEST, sizes=TEXTS)


def _vit(folder: Path) -> Case:
    package, data = vit(folder)
    name = "ViT, 4 layers of width 128, on digits"
    sizes = [{"batch": 1}, {"batch": 8}]
    return Case(name=name, package=package, data=data, where=None, sizes=sizes)


def _lstm(folder: Path) -> Case:
    package, data = lstm(folder)
    name = "LSTM, the recipe sentiment_lstm"
    return Case(name=name, package=package, data=data, where=TEST, sizes=TEXTS)


CASES = {"distilbert": _distilbert, "vit": _vit, "lstm": _lstm}


def _table(case: Case, count: int) -> list[str]:
    task = ModelPackage.open(case.package).contents.task
    samples = read_samples(case.data, task, SampleOptions(where=case.where)).head(count, seed=0)
    found: dict[str, Candidate] = {}
    for method in METHODS:
        try:
            report = quantize(
                case.package,
                samples,
                methods=[method],
                limits=ANYTHING,
                variant="fp32",
                name=method,
                progress=lambda line: print(line, flush=True),
            )
        except QuantizeFailedError as error:
            report = error.report
        (found[method],) = report.candidates
        parent = report.parent
    assert parent.metric is not None
    title = f"{case.name}: {parent.size_bytes / 1e6:.2f} MB, accuracy {parent.metric.value:.4f} "
    lines = [
        f"## {title}on {report.n} samples",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "| --- " * len(COLUMNS) + "|",
    ]
    for method, candidate in found.items():
        row = [f"`{method}`", candidate.why, *[""] * (len(COLUMNS) - 2)]
        if candidate.agreement is not None:
            times = [_beside(case, method, threads) for threads in (1, 2)]
            row = [f"`{method}`", *_figures(candidate, parent.size_bytes), *times, _kept(candidate)]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _figures(candidate: Candidate, parent_bytes: int) -> list[str]:
    flips = candidate.most_flips
    return [
        f"{candidate.size_bytes / parent_bytes:.1%}",
        "" if candidate.drop is None else f"{100 * candidate.drop:.2f}",
        "" if candidate.agreement is None else f"{candidate.agreement:.2%}",
        "" if flips is None else f"{flips[1]}",
    ]


def _kept(candidate: Candidate) -> str:
    flips = candidate.most_flips
    broken = quality_missed(candidate, HELD) or (flips is not None and flips[1])
    return "no" if broken else "yes"


def _beside(case: Case, method: str, threads: int) -> str:
    """CPU time over that of plain dynamic int8, or which of both was not added to the package."""
    package = ModelPackage.open(case.package)
    added = {variant.name for variant in package.variants}
    missing = [name for name in (method, PLAIN) if name not in added]
    if missing:
        return f"`{missing[0]}` was not added"
    if method == PLAIN:
        return "1"
    options = SessionOptions(threads=threads, spinning=False)

    def opened(name: str) -> Session:
        variant = package.variant(name)
        return open_session(package.verified(variant), options, config=variant.session_options)

    inputs = opened(PLAIN).inputs
    feeds: list[Feeds] = [_real(make_feeds(inputs, sizes=sizes, seed=0)) for sizes in case.sizes]
    found = paired_latency(
        lambda: opened(PLAIN),
        lambda: opened(method),
        feeds,
        rounds=6,
        pairs=4 * len(feeds),
        clock_ns=time.process_time_ns,
    )
    return f"{found.ratio:.2f} ({found.ratio_95[0]:.2f} to {found.ratio_95[1]:.2f})"


def _real(feeds: Feeds) -> Feeds:
    """Token ids that exist, and masks of ones."""
    return {
        name: np.ones_like(value)
        if "mask" in name
        else value % 1000
        if value.dtype.kind == "i"
        else value
        for name, value in feeds.items()
    }


if __name__ == "__main__":
    main()
