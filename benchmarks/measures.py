"""The figures: each is a ratio or a time, with what it was measured on."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.by_hand import classifier
from benchmarks.pairs import Ratio, paired, paired_anew
from toolkit import load
from toolkit.package import ModelPackage, Variant
from toolkit.runtime import SessionOptions

BY_HAND = Path(__file__).with_name("by_hand.py")
ROUNDS = 10
TEXT = "a gorgeous, witty film"
TEXTS = (
    TEXT,
    "a dull and lifeless mess",
    "the plot is thin, but two wonderful performances and a warm sense of humor carry it through",
    "not even the most patient viewer will find the ending worth the two hours that lead up to it",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured.

    Attributes:
        processes: Pairs of whole processes.
        calls: Pairs of calls in one process.
    """

    processes: int = 60
    calls: int = 2000


def whole_process(package: ModelPackage, variant: Variant, settings: Settings) -> Ratio:
    """`toolkit infer` against the script by hand, a new process each time, one short text."""
    ours = [sys.executable, "-m", "toolkit", "infer", str(package.path), TEXT]
    theirs = [sys.executable, str(BY_HAND), *_by_hand_arguments(package, variant), TEXT]
    ours += ["--variant", variant.name]
    _check_same(_output(ours).split(), _output(theirs).split())
    return paired(
        lambda: _output(theirs), lambda: _output(ours), pairs=settings.processes, warmup=2
    )


def help_text(settings: Settings) -> Ratio:
    """`toolkit --help` against an interpreter that does nothing."""
    return paired(
        lambda: _output([sys.executable, "-c", "pass"]),
        lambda: _output([sys.executable, "-m", "toolkit", "--help"]),
        pairs=settings.processes,
        warmup=2,
    )


def python_call(
    package: ModelPackage, variant: Variant, settings: Settings, *, threads: int
) -> Ratio:
    """`load(...)(text)` against the function by hand, in one process, without spinning threads."""
    path, tokens, limit, activation, labels = _by_hand_arguments(package, variant)

    def open_both() -> tuple[Callable[[], None], Callable[[], None]]:
        options = SessionOptions(threads=threads, spinning=False)
        model = load(package.path, variant=variant.name, options=options)
        by_hand = classifier(
            path,
            tokens,
            max_length=int(limit),
            activation=activation,
            labels=labels.split(","),
            threads=threads,
            spinning=False,
        )
        for text in TEXTS:
            result = model(text)
            label, score = by_hand(text)
            _check_same([result["label"], f"{result['score']:.4f}"], [label, f"{score:.4f}"])
        return _over_texts(by_hand), _over_texts(model)

    pairs = settings.calls // ROUNDS
    return paired_anew(open_both, rounds=ROUNDS, pairs=pairs, warmup=20)


def _over_texts(call: Callable[[str], object]) -> Callable[[], None]:
    """One call for each text, so that a pair compares equal work."""

    def all_texts() -> None:
        for text in TEXTS:
            call(text)

    return all_texts


def _by_hand_arguments(package: ModelPackage, variant: Variant) -> list[str]:
    task = package.contents.task
    preprocessing = package.asset("preprocessing")
    assert task.text is not None
    assert preprocessing is not None
    return [
        str(variant.model),
        str(preprocessing / "tokenizer.json"),
        str(task.text.max_length),
        task.activation,
        ",".join(task.labels),
    ]


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _check_same(ours: list[str], theirs: list[str]) -> None:
    if ours != theirs:
        raise SystemExit(f"the two do not do the same: {ours} and {theirs}")
