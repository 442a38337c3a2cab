"""`python -m benchmarks.peers CHECKPOINT REVIEWS`: our packages beside what users pick instead.

One text in, one label out, batch 1, everything at its library's defaults. All contenders are
started anew in each round and measured by turns, so that all see the same machine; a ratio is the
mean over the rounds (on logarithms) of the median over the pairs, with Student's 95 % interval.
Writes benchmarks/peers.md. optimum is looked for in .venv-optimum (`make optimum`), and
onnxruntime-openvino in .venv-openvino:

    python3.11 -m venv .venv-openvino
    .venv-openvino/bin/pip install onnxruntime-openvino==1.24.1 'numpy>=2.4' tokenizers
"""

import argparse
import csv
import gzip
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from toolkit.machine import this_machine
from toolkit.profiling.processes import Contender, Rounds
from toolkit.profiling.sequential import RatioInterval, ratio_intervals
from toolkit.tensors import Array

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("peers.md")
LENGTHS = (10, 32, 128)
SAME_ANSWER = 0.01
"""Most that the probabilities may differ: int8 moves them by less, other work mostly by more."""

OURS = ("toolkit, fp32", "toolkit, int8")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One length of text.

    Attributes:
        tokens: Of the text, special ones included.
        names: The contenders.
        median_ms: Of each one's turns.
        ratios: Ours over each contender, by our name.
        positive: What each answers: the probability of "positive".
        rounds: How often all were started anew.
        pairs: Turns of each.
        others: Cores that other work on the machine took meanwhile, on average; None where the
            system does not tell.
        facts: Versions by contender.
    """

    tokens: int
    names: Sequence[str]
    median_ms: Sequence[float]
    ratios: Mapping[str, Sequence[RatioInterval]]
    positive: Sequence[float]
    rounds: int
    pairs: int
    others: float | None
    facts: Sequence[Mapping[str, Any]]


def main() -> None:
    """Make the models, measure them, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="BERT for sequence classification")
    parser.add_argument("reviews", type=Path, help=".csv.gz with the columns text, label, split")
    parser.add_argument("--rounds", type=int, default=8, help="starts of all contenders")
    parser.add_argument("--seconds", type=float, default=6.0, help="turns of a round, seconds")
    parser.add_argument("--models", type=Path, help="keep the models here, and find them again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = asked.models or Path(temporary)
        skipped = _make_models(asked.checkpoint, asked.reviews, models)
        found = []
        for tokens in LENGTHS:
            text = _text(asked.reviews, asked.checkpoint / "tokenizer.json", tokens)
            contenders = _contenders(asked.checkpoint, models, text, skipped)
            found.append(_measured(contenders, tokens, asked.rounds, asked.seconds))
    document = _document(found, skipped)
    print(document)
    RESULTS.write_text(document, encoding="utf-8")


def _make_models(checkpoint: Path, reviews: Path, models: Path) -> dict[str, str]:
    """Write what is missing; why contenders are skipped, by name."""
    from benchmarks.minilm import write_package

    package = models / "minilm.ortpackage"
    if not package.exists():
        write_package(checkpoint, reviews, package)
    target = models / "hand"
    if not target.exists():
        target.mkdir()
        shutil.copy(package / "model" / "fp32" / "model.onnx", target)
        shutil.copy(checkpoint / "tokenizer.json", target)
    skipped: dict[str, str] = {}
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        skipped["torch.compile"] = "no C++ compiler"
    if not _python("openvino").is_file():
        skipped["onnxruntime-openvino"] = "no .venv-openvino"
    if not _python("optimum").is_file():
        skipped["optimum"] = "no .venv-optimum: make optimum"
    elif not (models / "optimum-int8").exists():
        arguments = [str(checkpoint), str(models / "optimum"), str(models / "optimum-int8")]
        code = "import sys; from benchmarks.peer_calls import *; export_with_optimum(*sys.argv[1:])"
        subprocess.run(
            [_python("optimum"), "-c", code, *arguments],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return skipped


def _contenders(
    checkpoint: Path, models: Path, text: str, skipped: Mapping[str, str]
) -> list[Contender]:
    def one(name: str, call: str, folder: Path, python: str = "", **more: object) -> Contender:
        return Contender(
            name=name,
            factory=f"benchmarks.peer_calls:{call}",
            arguments={"folder": str(folder), "text": text, **more},
            python=str(_python(python)) if python else "",
        )

    package = models / "minilm.ortpackage"
    openvino = {"provider": "OpenVINOExecutionProvider"}
    listed = [
        one(OURS[0], "ours", package, variant="fp32"),
        one(OURS[1], "ours", package, variant="int8"),
        one("torch eager", "torch", checkpoint),
        one("torch.compile", "torch", checkpoint, compiled=True),
        one("optimum pipeline, fp32", "optimum", models / "optimum", "optimum"),
        one("optimum pipeline, int8", "optimum", models / "optimum-int8", "optimum"),
        one("onnxruntime by hand, our fp32 file", "onnxruntime", models / "hand"),
        one("onnxruntime by hand, optimum's int8 file", "onnxruntime", models / "optimum-int8"),
        one("onnxruntime-openvino, our fp32 file", "onnxruntime", models / "hand", "openvino",
            **openvino),
        one("onnxruntime-openvino, optimum's int8 file", "onnxruntime", models / "optimum-int8",
            "openvino", **openvino),
    ]  # fmt: skip
    return [
        contender
        for contender in listed
        if not any(contender.name.startswith(name) for name in skipped)
        and not ("optimum's" in contender.name and "optimum" in skipped)
    ]


def _measured(
    contenders: Sequence[Contender], tokens: int, rounds: int, seconds: float
) -> Measurement:
    busy = _Busy() if Path("/proc/stat").is_file() else None
    with tempfile.TemporaryDirectory() as folder:
        measure = Rounds(contenders=contenders, seconds=seconds, seed=tokens, outputs=Path(folder))
        times: list[Array] = []
        for made in range(rounds):
            times.append(measure())
            print(f"{tokens} tokens, round {made + 1} of {rounds}", flush=True)
        positive = [
            float(np.load(Path(folder) / f"{i}.npz")["positive"][0]) for i in range(len(contenders))
        ]
    if max(positive) - min(positive) > SAME_ANSWER:
        raise SystemExit(f"the contenders do not compute the same: {positive}")
    ratios: dict[str, Sequence[RatioInterval]] = {}
    for position, name in enumerate(OURS):
        front = [np.concatenate([t[:, position : position + 1], t], axis=1) for t in times]
        ratios[name] = ratio_intervals(front, error=0.05)
    return Measurement(
        tokens=tokens,
        names=[contender.name for contender in contenders],
        median_ms=[median(turns) / 1e6 for turns in measure.latencies_ns],
        ratios=ratios,
        positive=positive,
        rounds=rounds,
        pairs=sum(len(t) for t in times),
        others=None if busy is None else busy.others(),
        facts=measure.facts,
    )


class _Busy:
    """How many cores other processes take, from now on; Linux alone tells."""

    def __init__(self) -> None:
        self._start = self._now()

    def others(self) -> float:
        """Cores, on average."""
        seconds, used, own = (
            now - then for now, then in zip(self._now(), self._start, strict=True)
        )
        return max(used - own, 0.0) / seconds

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Monotonic seconds; CPU seconds of the machine; of this process and its ended children.

        Source: man 5 proc, "/proc/stat": user, nice and system are the first three columns, the
            interrupts' the sixth and the seventh.
        """
        columns = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(columns[i]) for i in (0, 1, 2, 5, 6))
        own = os.times()
        used = own.user + own.system + own.children_user + own.children_system
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), used


def _document(found: Sequence[Measurement], skipped: Mapping[str, str]) -> str:
    date = datetime.now(UTC).isoformat(timespec="minutes")
    lines = [
        "# Beside what users pick instead",
        "",
        "`python -m benchmarks.peers` writes this file. A fine-tuned MiniLM (BERT of 6 layers,",
        "22.7 M parameters), one text in, one label and probability out, tokenizing included,",
        "batch 1, every library at its defaults. All contenders are started anew in each round and",
        "measured by turns, the others' processes stopped. Below 1, ours takes less time. The",
        "intervals are Student's over the rounds, 95 %, one by one. int8 is the toolkit's row-wise",
        "method, in which an answer does not depend on its batch mates, and optimum's dynamic one,",
        "in which it does.",
        "",
        f"{date}; {this_machine().as_line()}",
    ]
    for measured in found:
        lines += ["", *_table(measured)]
    versions = [
        f"- {name}: {', '.join(f'{k} {v}' for k, v in facts.items())}"
        for name, facts in zip(found[0].names, found[0].facts, strict=True)
    ]
    lines += ["", "Versions:", "", *versions]
    lines += [f"- {name}: skipped, {why}" for name, why in skipped.items()]
    return "\n".join(lines) + "\n"


def _table(measured: Measurement) -> list[str]:
    heads = ["", "median, ms", *(f"{ours} over it" for ours in OURS), "P(positive)"]
    rows = [
        [
            name,
            f"{measured.median_ms[i]:.2f}",
            *(_ratio(measured.ratios[ours][i], is_same=name == ours) for ours in OURS),
            f"{measured.positive[i]:.4f}",
        ]
        for i, name in enumerate(measured.names)
    ]
    others = "" if measured.others is None else f"; other work took {measured.others:.1f} cores"
    title = (
        f"## {measured.tokens} tokens\n\n{measured.rounds} rounds, "
        f"{measured.pairs} turns of each{others}\n"
    )
    table = [heads, ["---"] * len(heads), *rows]
    return [title, *(f"| {' | '.join(row)} |" for row in table)]


def _ratio(interval: RatioInterval, *, is_same: bool) -> str:
    if is_same:
        return "1"
    return f"{interval.ratio:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _text(reviews: Path, tokenizer_file: Path, tokens: int) -> str:
    """Words of real reviews, as many as make just this number of tokens."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with gzip.open(reviews, "rt", encoding="utf-8", newline="") as stream:
        words = [w for row in csv.DictReader(stream) for w in row["text"].split() if w.isalpha()]
    text = ""
    for word in words:
        longer = f"{text} {word}".strip()
        length = len(tokenizer.encode(longer).ids)
        if length <= tokens:
            text = longer
        if length == tokens:
            return text
    raise SystemExit(f"no text of {tokens} tokens")


def _python(environment: str) -> Path:
    return ROOT / f".venv-{environment}" / "bin" / "python"


if __name__ == "__main__":
    main()
