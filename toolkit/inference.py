"""One call from a package, or a bare `.onnx` file, to answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import overload

import numpy as np

from toolkit.choosing import chosen_variant, options_for
from toolkit.errors import InputError
from toolkit.longest import too_long_explained
from toolkit.package import ModelPackage, Variant, is_bare
from toolkit.rows import run_rows
from toolkit.runtime import Provider, Session, SessionOptions, open_session
from toolkit.tasks import Batch, Item, Result, Task, TaskOptions, TaskSpec, open_task
from toolkit.tensors import Array, Feeds, TensorSpec, check_feeds

BATCH_SIZE = 32


class Model:
    """A model that answers. It can be used from several threads.

    Attributes:
        source: The package or file that it was loaded from.
        variant: The package's variant; empty for a bare file.
        session: The ONNX Runtime session.
        task: Pre- and post-processing.
        batch_size: Most rows in one run where no number is given.
    """

    def __init__(
        self,
        source: Path,
        variant: str,
        session: Session,
        task: Task,
        *,
        batch_size: int = BATCH_SIZE,
        open_sessions: Callable[[], Sequence[Session]] | None = None,
    ) -> None:
        # open_sessions opens those that run batches beside each other, when there are batches.
        self.source = source
        self.variant = variant
        self.session = session
        self.task = task
        self.batch_size = batch_size
        self._open_sessions = open_sessions
        self._sessions: Sequence[Session] = ()
        self._opening = Lock()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph inputs."""
        return self.session.inputs

    @property
    def provider(self) -> Provider:
        """The execution provider that it runs on."""
        return self.session.provider

    @property
    def placement(self) -> Mapping[str, int]:
        """Graph nodes by ONNX Runtime's provider name."""
        return self.session.placement

    @property
    def elsewhere(self) -> Mapping[str, int]:
        """Nodes by operator type that another provider than `provider` runs."""
        return self.session.elsewhere

    @overload
    def __call__(self, items: list[Item]) -> list[Result]: ...

    @overload
    def __call__(self, items: Item) -> Result: ...

    def __call__(self, items: Item | list[Item]) -> Result | list[Result]:
        """The result of one item, or a list of results for a list of items.

        Args:
            items: A text, a pair of texts (a tuple, or {"text", "text_pair"}), a question
                {"question", "context"}, a row {column: value} or an image, by task; or a list of
                them.

        Raises:
            InputError: An item does not fit the model.
        """
        if isinstance(items, list):
            return self.batch(items)
        batch = self.task.prepare([items])
        return self.task.decode(_run(self.session, batch, self.batch_size), batch)[0]

    def batch(self, items: Iterable[Item], *, batch_size: int | None = None) -> list[Result]:
        """Results in the order of the items; see `answered`."""
        if isinstance(items, (str, Mapping)):
            raise InputError("batch takes a list of items, not one", expected='["a text", ...]')
        listed = list(items)
        results: list[Result] = [{}] * len(listed)
        for positions, batch, outputs in self.answered(listed, batch_size=batch_size):
            for position, result in zip(positions, self.task.decode(outputs, batch), strict=True):
                results[position] = result
        return results

    def batches(
        self, items: Sequence[Item], *, batch_size: int | None = None
    ) -> Iterator[tuple[list[int], dict[str, Array]]]:
        """Positions and raw outputs, a batch at a time; see `answered`."""
        for positions, _, outputs in self.answered(items, batch_size=batch_size):
            yield positions, outputs

    def answered(
        self, items: Sequence[Item], *, batch_size: int | None = None
    ) -> Iterator[tuple[list[int], Batch, dict[str, Array]]]:
        """Positions, the batch of the items there, and its raw outputs: what `Task.decode` takes.

        Texts of similar length share a batch, since the longest one sets the padding. Images that
        keep their own sizes are run one by one, so that no answer depends on padding.

        Args:
            items: Texts, rows or images.
            batch_size: Most rows in one run; `Model.batch_size` when not given, which is what
                `toolkit profile --tune` found for machines of this class.

        Raises:
            InputError: An item does not fit the model.
        """
        size = 1 if self.task.takes_one else batch_size or self.batch_size
        order = list(range(len(items)))
        task = self.task.specification
        if task.text is not None and task.image is None:
            from toolkit.tasks.text import characters

            order.sort(key=lambda i: characters(items[i]))
        parts = [order[start : start + size] for start in range(0, len(order), size)]

        def answer(positions: list[int], session: Session) -> tuple[Batch, dict[str, Array]]:
            numbers = [position + 1 for position in positions]
            batch = self.task.prepare([items[i] for i in positions], numbers)
            return batch, _run(session, batch, size)

        if len(parts) < 2 or self._open_sessions is None:
            for positions in parts:
                yield positions, *answer(positions, self.session)
            return
        free: SimpleQueue[Session] = SimpleQueue()
        for session in self._opened(self._open_sessions):
            free.put(session)

        def by_whoever_is_free(positions: list[int]) -> tuple[Batch, dict[str, Array]]:
            session = free.get()
            try:
                return answer(positions, session)
            finally:
                free.put(session)

        with ThreadPoolExecutor(len(self._sessions)) as pool:
            answers = pool.map(by_whoever_is_free, parts)
            for positions, (batch, outputs) in zip(parts, answers, strict=True):
                yield positions, batch, outputs

    def _opened(self, opening: Callable[[], Sequence[Session]]) -> Sequence[Session]:
        with self._opening:
            self._sessions = self._sessions or opening()
        return self._sessions

    def outputs(
        self, items: Sequence[Item], numbers: Sequence[int] | None = None
    ) -> dict[str, Array]:
        """Raw outputs by name for one batch of items; see `Task.encode`."""
        return run_rows(self.session, self.task.encode(items, numbers))

    def run(self, feeds: Feeds, *, allow_non_finite: bool = False) -> dict[str, Array]:
        """Outputs by name for feeds by name.

        Raises:
            InputError: A feed is missing, unknown, or of the wrong dtype, rank or size, or holds
                NaN or infinity and `allow_non_finite` is not given.
        """
        check_feeds(feeds, self.inputs, source=str(self.source), allow_non_finite=allow_non_finite)
        return self.session.run(feeds)


def _run(session: Session, batch: Batch, size: int) -> dict[str, Array]:
    """Outputs for a batch, whose items may take more rows than shall run at once."""
    if batch.rows is None or len(batch.rows) <= size:
        return run_rows(session, batch.feeds)
    parts = [
        run_rows(
            session, {name: array[start : start + size] for name, array in batch.feeds.items()}
        )
        for start in range(0, len(batch.rows), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(
    source: str | Path,
    *,
    variant: str | None = None,
    options: SessionOptions | None = None,
    reading: TaskOptions | None = None,
) -> Model:
    """Open a package or a bare `.onnx` file for inference.

    Args:
        source: A model package, or an `.onnx` file.
        variant: The package's variant; the preferred one when not given.
        options: Provider, threads and the like; the CPU when not given.
        reading: How items are read: whether long texts are cut, and the like.

    Raises:
        InputError: The source is missing or damaged, or has no such variant.
        SetupError: The provider cannot run here.
    """
    path = Path(source)
    options = options or SessionOptions()
    if is_bare(path, variant):
        session = open_session(path, options)
        return Model(path, "", session, open_task(TaskSpec(name="tensors"), None, session.inputs))
    package = ModelPackage.open(path)
    if package.contents.task.name == "text-to-text":
        from toolkit.generation.translation import load_translator

        return load_translator(package, variant, options, reading)
    if package.contents.task.name == "speech-recognition" and package.contents.task.generation:
        from toolkit.generation.transcription import load_transcriber

        return load_transcriber(package, variant, options, reading)
    return load_variant(package, chosen_variant(package, variant, options), options, reading)


def load_variant(
    package: ModelPackage,
    variant: Variant,
    options: SessionOptions,
    reading: TaskOptions | None = None,
) -> Model:
    """Open one variant of an open package; see `load`."""
    if package.contents.task.name == "text-generation":
        from toolkit.generation.model import load_generator

        return load_generator(package, variant, options, reading)
    options = options_for(variant, options)
    config = variant.session_options
    file = package.verified(variant)
    with too_long_explained(package, options.fix_shapes):
        session = open_session(file, options, config=config)
    preprocessing = package.asset("preprocessing")
    task = open_task(package.contents.task, preprocessing, session.inputs, reading)
    split = variant.split(options.provider)
    several = None
    if split is not None and split.sessions > 1 and not options.threads:
        count = split.sessions
        each = replace(options, threads=split.threads, spinning=False)

        def several() -> Sequence[Session]:
            return [open_session(file, each, config=config) for _ in range(count)]

    return Model(
        package.path,
        variant.name,
        session,
        task,
        batch_size=BATCH_SIZE if split is None else split.batch,
        open_sessions=several,
    )
