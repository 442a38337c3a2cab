"""`python -m benchmarks.offline PACKAGE REVIEWS`: texts a second, beside a loop by hand.

By hand means `two_sessions`: what a careful engineer writes. Both make whole passes over the test
reviews by turns, tokenization and labels included, and must give the same labels. `--peer-model`
times the loop by hand with another file, such as one that onnxruntime's quantizer wrote.
"""

import argparse
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from benchmarks.by_hand import FIELDS
from benchmarks.pairs import Ratio, paired
from toolkit.evaluate.samples import SampleOptions, read_samples
from toolkit.machine import this_machine
from toolkit.package import ModelPackage
from toolkit.profiling.throughput import one_pass, text_batches
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import open_task
from toolkit.tensors import Array

TOKENS = 256


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
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("reviews", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--peer-model", type=Path)
    parser.add_argument("--passes", type=int, default=20)
    asked = parser.parse_args()
    package = ModelPackage.open(asked.package)
    task, folder = package.contents.task, package.asset("preprocessing")
    assert task.text is not None
    assert folder is not None
    reading = SampleOptions(where={"split": "test"})
    texts = [str(item) for item in read_samples(asked.reviews, task, reading).items]
    model = package.variant(asked.variant).model
    candidate = ours(package, asked.variant)
    for file in (model, *([asked.peer_model] if asked.peer_model else [])):
        peer = two_sessions(
            str(file),
            str(folder / "tokenizer.json"),
            max_length=task.text.max_length,
            labels=task.labels,
        )
        same = float(np.mean(np.array(peer(texts)) == np.array(candidate(texts))))
        found = paired(lambda: peer(texts), lambda: candidate(texts), pairs=asked.passes, warmup=1)  # noqa: B023 - called at once
        _show(file.name if file is not model else "the same file", len(texts), found, same)
    print(this_machine().as_line())


def _show(name: str, count: int, found: Ratio, same: float) -> None:
    rates: Array = count / np.array([found.reference_ms, found.candidate_ms]) * 1e3
    high, low = (1 / end for end in found.interval_95)
    print(
        f"by hand, {name}: {rates[0]:.0f} texts/s; ours: {rates[1]:.0f}; ours over it "
        f"{1 / found.ratio:.3f} ({low:.3f} to {high:.3f}), {found.pairs} pairs of passes; "
        f"{same:.2%} of the labels agree"
    )


if __name__ == "__main__":
    main()
