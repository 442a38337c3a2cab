"""The offline scenario: samples a second when all of them are there at the start."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from toolkit.errors import ToolkitWarning
from toolkit.profiling.loop import Run
from toolkit.profiling.scenarios import Effort
from toolkit.profiling.statistics import Clock, summarize
from toolkit.tasks import Item, Task
from toolkit.tensors import Array, Feeds

Batch = tuple[Sequence[int], Feeds]
"""Positions of the samples, and their feeds."""

BLOCK = 4096
"""Texts that are tokenized at once, on all cores; each block is cut into batches by length. Smaller
blocks begin sooner and lose more than that by padding and by batches that are not full: on 1,423
reviews blocks of 64, 256 and 1,024 had 0.90, 0.95 and 0.99 times the throughput of a single one."""

ENOUGH_NS = 5_000_000_000
LIMIT_S = 60.0
"""Passes take long: without a budget they end after this, and after 5 s at the earliest."""

MOST_PASSES = 200


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Passes over a data set.

    Attributes:
        samples: Of one pass.
        batches: Of one pass.
        sessions: How many took batches at the same time, of `threads` threads each.
        threads: Intra-op threads of a session.
        includes: What a pass holds beside the runs: "tokenization", "encoding", "decoding".
        tokens: Of one pass, without padding; None where the samples are no texts.
        padded_tokens: The same with padding.
    """

    samples: int
    batches: int
    sessions: int
    threads: int
    includes: tuple[str, ...]
    tokens: int | None = None
    padded_tokens: int | None = None


def text_batches(task: Task, texts: Sequence[Item], tokens: int) -> Iterator[Batch]:
    """Batches of texts of similar length, the longest texts first.

    The longest first, so that the sessions end together. Texts are ordered by characters, tokenized
    in blocks, and within a block ordered by tokens: the padding that is left is about one percent.

    Args:
        task: Encodes the texts.
        texts: The data set.
        tokens: The most that a batch may hold, padding included; a longer text is one by itself.
    """
    from toolkit.tasks.text import characters

    order = sorted(range(len(texts)), key=lambda i: -characters(texts[i]))
    for start in range(0, len(order), BLOCK):
        positions = order[start : start + BLOCK]
        batch = task.prepare([texts[i] for i in positions])
        feeds, owners = batch.feeds, batch.rows or range(len(positions))
        lengths = token_counts(task, feeds)
        rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        first = 0
        while first < len(rows):
            longest = int(lengths[rows[first]])
            chosen = rows[first : first + max(1, tokens // longest)]
            first += len(chosen)
            cut = {name: array[chosen, :longest] for name, array in feeds.items()}
            yield [positions[owners[row]] for row in chosen], cut


def token_counts(task: Task, feeds: Feeds) -> Array:
    """int64[batch]: tokens of each text without the padding on its right; 1 at least."""
    text = task.specification.text
    assert text is not None
    if "attention_mask" in feeds:
        return np.asarray(np.maximum(feeds["attention_mask"].sum(axis=1), 1))
    real = feeds["input_ids"] != text.pad_id
    last = real.shape[1] - np.argmax(real[:, ::-1], axis=1)
    return np.where(real.any(axis=1), last, 1)


def item_batches(task: Task, items: Sequence[Item], size: int) -> Iterator[Batch]:
    """Batches of items that are no texts, in their order."""
    for start in range(0, len(items), size):
        chosen = items[start : start + size]
        yield range(start, start + len(chosen)), task.encode(chosen)


def one_pass(
    runs: Sequence[Run],
    batches: Iterator[Batch],
    taken: Callable[[Sequence[int], object], object],
    *,
    clock_ns: Clock = time.perf_counter_ns,
) -> int:
    """Nanoseconds that all batches took, from the first encoding to the last answer.

    Whoever is free takes the next batch, and encodes the next block where none is left, while the
    others run.

    Args:
        runs: One a session.
        batches: Encodes as it goes.
        taken: Called with the positions and the outputs of each batch.
        clock_ns: A monotonic clock in nanoseconds.

    Raises:
        InputError: A run or the encoding failed.
    """
    lock = threading.Lock()
    failures: list[Exception] = []

    def work(run: Run) -> None:
        try:
            while not failures:
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                taken(batch[0], run(batch[1]))
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failures.append(error)

    workers = [threading.Thread(target=work, args=(run,)) for run in runs]
    began = clock_ns()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return clock_ns() - began


def measure_passes(
    runs: Sequence[Run],
    batches: Callable[[], Iterator[Batch]],
    taken: Callable[[Sequence[int], object], object],
    effort: Effort,
    times_ns: list[int],
    *,
    looking: Callable[[], object] = lambda: None,
    clock_ns: Clock = time.perf_counter_ns,
) -> int:
    """Pass over the data until the throughput is known; says how long the warm-up took.

    One pass is warm-up enough where no number is asked for: it meets every shape that there is.

    Args:
        runs: One a session.
        batches: Begins a pass.
        taken: Called with the positions and the outputs of each batch.
        effort: A number of passes, a time, or the budget.
        times_ns: Receives one duration a pass, so that they survive a failure.
        looking: Called between passes.
        clock_ns: A monotonic clock in nanoseconds.

    Raises:
        InputError: A run or the encoding failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolkitWarning)  # texts that are cut: said once, not a pass
        warm_ns = sum(
            one_pass(runs, batches(), taken, clock_ns=clock_ns)
            for _ in range(1 if effort.warmup is None else effort.warmup)
        )
        limit_s = effort.limit_s
        if effort.runs is None and effort.budget_s is None and not effort.sustained_s:
            limit_s = LIMIT_S
        began = clock_ns()
        looking()
        while True:
            times_ns.append(one_pass(runs, batches(), taken, clock_ns=clock_ns))
            looking()
            spent = clock_ns() - began
            if len(times_ns) == (effort.runs or MOST_PASSES) or spent >= limit_s * 1e9:
                return warm_ns
            if effort.runs is not None or effort.sustained_s or spent < ENOUGH_NS:
                continue
            if not summarize(times_ns, percentiles=(50.0,)).runs_needed:
                return warm_ns
