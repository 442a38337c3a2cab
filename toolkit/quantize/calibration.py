"""The samples that ranges are measured on: which, how many, and their feeds as a stream."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.evaluate.samples import SampleOptions, Samples, is_whole, read_samples
from toolkit.quantize.layout import read_runs
from toolkit.runtime import Session
from toolkit.tasks import Item, TaskSpec
from toolkit.tasks.text import characters
from toolkit.tensors import Array, Feeds, TensorSpec, check_feeds

SAMPLES = 256
"""Drawn where no number is given: ranges of a MiniLM hardly move from there on."""

BATCH = 8
BATCH_CHARACTERS = 1000
"""Some 250 tokens: what a batch of texts may hold, so that the memory that one takes is bounded."""

Encode = Callable[[Sequence[Item]], dict[str, Array]]


def _go_on() -> None:
    """What passes without a budget do before each batch: nothing."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Samples that stand for what the model will get. Their labels are not looked at.

    Attributes:
        items: Texts, rows or images.
        encode: Makes feeds of a batch of them.
        inputs: The graph inputs, which the feeds must fit.
        origin: Where they came from, in words.
        sha256: Digest of that file.
        seed: Seed that they were drawn with.
        batch: Most items in a batch.
        check: Called before each batch; may raise, to end a pass over the data.
    """

    items: tuple[Item, ...]
    encode: Encode
    inputs: tuple[TensorSpec, ...]
    origin: str
    sha256: str
    seed: int
    batch: int = BATCH
    check: Callable[[], None] = _go_on

    def __len__(self) -> int:
        return len(self.items)

    def feeds(self, limit: int | None = None) -> Iterator[Feeds]:
        """Feeds of one batch after the other, each made when it is asked for.

        Texts of like length share a batch, as they do when they are run, so that little of what is
        measured is padding.

        Args:
            limit: Most items, spread evenly over all; all when not given.

        Raises:
            InputError: An item does not fit the graph.
        """
        items = sorted(self.items, key=characters)
        if limit is not None and limit < len(items):
            items = [items[i * len(items) // limit] for i in range(limit)]
        for batch in _batches(items, self.batch):
            self.check()
            feeds = self.encode(batch)
            check_feeds(feeds, self.inputs, source="MODEL")
            yield feeds


def _batches(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:  # in ascending length, so that the newest one is the longest
        if batch and (len(batch) == most or (len(batch) + 1) * characters(item) > BATCH_CHARACTERS):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def draw(
    samples: Samples,
    file: Path | None,
    task: TaskSpec,
    encode: Encode,
    session: Session,
    *,
    count: int,
    seed: int,
    reading: SampleOptions | None = None,
    check: Callable[[], None] = _go_on,
) -> Calibration:
    """The calibration set.

    Args:
        samples: What candidates are judged on; drawn from where no file is given.
        file: Data of its own for calibration, with or without labels.
        task: What the model is for.
        encode: Makes feeds of items.
        session: The model; an `.npz` file for plain tensors is read as `read_runs` does.
        count: Most items.
        seed: Of the draw.
        reading: Which column holds the text.
        check: See `Calibration`; also called here, before a first batch of a file of its own.

    Raises:
        InputError: The file cannot be read or does not fit the model.
        OutOfTimeError: The budget ended, as `check` says.
    """
    own, inputs = file is not None, session.inputs
    if file is not None and task.name == "tensors":
        samples, _ = read_runs(file, session)
    elif file is not None:
        column = "" if reading is None else reading.text_column
        samples = read_samples(file, task, SampleOptions(labels=False, text_column=column))
    drawn = samples.head(count, seed=seed)
    found = Calibration(
        items=drawn.items,
        encode=encode,
        inputs=inputs,
        origin=f"{len(drawn)} of {len(samples)} samples of "
        f"{file.name if file is not None else 'the data that candidates are judged on'}",
        sha256=samples.sha256,
        seed=seed,
        batch=1 if is_whole(drawn.items[0], inputs) else BATCH,
        check=check,
    )
    if own:
        next(found.feeds(limit=BATCH))  # what does not fit is said at once
    return found
