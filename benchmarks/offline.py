"""`python -m benchmarks.offline PACKAGE REVIEWS`: texts a second, beside a loop by hand.

By hand means `two_sessions`: what a careful engineer writes. Both make whole passes over the test
reviews by turns, tokenization and labels included, and must give the same labels. `--peer-model`
times the loop by hand with another file, such as one that onnxruntime's quantizer wrote.
"""

import argparse
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from benchmarks.by_hand import FIELDS
from benchmarks.pairs import Ratio, paired_anew
from toolkit.evaluate.samples import SampleOptions, read_samples
from toolkit.machine import this_machine
from toolkit.package import ModelPackage
from toolkit.profiling.throughput import one_pass, text_batches
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import open_task
from toolkit.tensors import Array

TOKENS = 256
ROUNDS = 5
GOAL = 1.1
RESULTS = Path(__file__).with_name("offline.md")
HEAD = """# Offline throughput

`python -m benchmarks.offline` writes this file. Whole passes over {texts} texts, tokenization and
labels included, by turns; all sessions are opened anew in {rounds} rounds, and the ratio is the
mean of the rounds' medians on logarithms, with Student's 95 % interval. Ours is the variant
{variant}. By hand: two sessions of one thread, batches by length.

| beside | by hand, texts/s | ours, texts/s | ours over it | pairs | same labels | 1.1 reached |
| --- | --- | --- | --- | --- | --- | --- |"""
Call = Callable[[], list[str]]


def two_sessions(
    model: str, tokenizer_file: str, *, max_length: int, labels: tuple[str, ...]
) -> Callable[[list[str]], list[str]]:
    """A function from texts to labels: two sessions of one thread, batches by length."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    opened = [
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for _ in range(2)
    ]
    tokenizer = Tokenizer.from_file(tokenizer_file)
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    names = [node.name for node in opened[0].get_inputs()]

    def classify(texts: list[str]) -> list[str]:
        encodings = tokenizer.encode_batch_fast(texts)
        lengths = [len(encoding.ids) for encoding in encodings]
        batches: list[list[int]] = []
        for i in sorted(range(len(texts)), key=lambda i: -lengths[i]):
            if not batches or lengths[batches[-1][0]] * (len(batches[-1]) + 1) > TOKENS:
                batches.append([])
            batches[-1].append(i)
        left, lock, found = iter(batches), threading.Lock(), [""] * len(texts)

        def work(session: ort.InferenceSession) -> None:
            while True:
                with lock:
                    batch = next(left, None)
                if batch is None:
                    return
                shape = (len(batch), lengths[batch[0]])
                feeds = {name: np.zeros(shape, np.int64) for name in names}
                for row, i in enumerate(batch):
                    for name in names:
                        feeds[name][row, : lengths[i]] = getattr(encodings[i], FIELDS[name])
                logits = session.run(None, feeds)[0]
                powers = np.exp(logits - logits.max(axis=1, keepdims=True))
                best = (powers / powers.sum(axis=1, keepdims=True)).argmax(axis=1)
                for i, label in zip(batch, best, strict=True):
                    found[i] = labels[label]

        workers = [threading.Thread(target=work, args=(session,)) for session in opened]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return found

    return classify


def ours(package: ModelPackage, name: str) -> Callable[[list[str]], list[str]]:
    """The pass that `toolkit profile --scenario offline` times."""
    variant = package.variant(name)
    opened = [open_session(variant.model, SessionOptions(threads=1)) for _ in range(2)]
    task = open_task(package.contents.task, package.asset("preprocessing"), opened[0].inputs)

    def classify(texts: list[str]) -> list[str]:
        found = [""] * len(texts)

        def taken(positions: object, outputs: object) -> None:
            assert isinstance(positions, list)
            assert isinstance(outputs, dict)
            for position, result in zip(positions, task.decode(outputs), strict=True):
                found[position] = result["label"]

        one_pass([one.run for one in opened], text_batches(task, texts, TOKENS), taken)
        return found

    return classify


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("reviews", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--peer-model", type=Path)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    package = ModelPackage.open(asked.package)
    task, folder = package.contents.task, package.asset("preprocessing")
    assert task.text is not None
    assert folder is not None
    reading = SampleOptions(where={"split": "test"})
    texts = [str(item) for item in read_samples(asked.reviews, task, reading).items]
    model = package.variant(asked.variant).model
    lines = [HEAD.format(rounds=ROUNDS, variant=asked.variant, texts=len(texts))]
    for file in (model, *([asked.peer_model] if asked.peer_model else [])):
        agree: list[float] = []

        def open_both(file: Path = file, agree: list[float] = agree) -> tuple[Call, Call]:
            candidate = ours(package, asked.variant)
            peer = two_sessions(
                str(file),
                str(folder / "tokenizer.json"),
                max_length=task.text.max_length if task.text else 0,
                labels=task.labels,
            )
            agree.append(float(np.mean(np.array(peer(texts)) == np.array(candidate(texts)))))
            return lambda: peer(texts), lambda: candidate(texts)

        each = max(1, asked.passes // ROUNDS)
        found = paired_anew(open_both, rounds=ROUNDS, pairs=each, warmup=0)
        name = file.name if file is not model else "the same file"
        lines.append(_row(name, len(texts), found, min(agree)))
    date = datetime.now(UTC).date().isoformat()
    document = "\n".join([*lines, "", f"{date}; {this_machine().as_line()}", ""])
    print(document)
    asked.output.write_text(document, encoding="utf-8")


def _row(name: str, count: int, found: Ratio, same: float) -> str:
    rates: Array = count / np.array([found.reference_ms, found.candidate_ms]) * 1e3
    high, low = (1 / end for end in found.interval_95)
    verdict = "yes" if low >= GOAL else "NO" if high < GOAL else "cannot tell"
    cells = (
        f"by hand, {name}",
        f"{rates[0]:.0f}",
        f"{rates[1]:.0f}",
        f"{1 / found.ratio:.3f} ({low:.3f} to {high:.3f})",
        f"{found.pairs}",
        f"{same:.2%}",
        verdict,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
