"""A model that answers with texts, made token by token."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from toolkit.choosing import options_for
from toolkit.errors import InputError
from toolkit.generation.decoder import CachedDecoder
from toolkit.generation.loop import Answer, Decoder, Ending, check_room, generate
from toolkit.generation.options import GenerationOptions
from toolkit.inference import Model
from toolkit.package import ModelPackage, Variant
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import GenerationSpec, Item, Result, Task, TaskOptions
from toolkit.tasks.prompt import DecoderFeeds, PromptEncoder

BATCH_SIZE = 8
"""Prompts in one run: each has a cache, and the longest one sets the padding."""


class Generator(Model, ABC):
    """A model whose answers are made token by token. It can be used from several threads."""

    @property
    def default_options(self) -> GenerationOptions:
        """How it answers where nothing is said."""
        return GenerationOptions()

    @overload
    def __call__(
        self, items: list[Item], options: GenerationOptions | None = None
    ) -> list[Result]: ...

    @overload
    def __call__(self, items: Item, options: GenerationOptions | None = None) -> Result: ...

    def __call__(
        self, items: Item | list[Item], options: GenerationOptions | None = None
    ) -> Result | list[Result]:
        """The answer to one item, or a list of answers for a list of items.

        An answer is {text, tokens, tokens_per_s, ended_by}: how many tokens it has, what a second
        made of them with the time for the prompt counted, and "end", "stop" or "length".

        Args:
            items: An item, or a list of them.
            options: How to answer; the likeliest token each time when not given.

        Raises:
            InputError: An item does not fit the model.
        """
        if isinstance(items, list):
            return self.batch(items, options=options)
        return self.batch([items], options=options)[0]

    @abstractmethod
    def batch(  # type: ignore[override]  # adds the options
        self,
        items: Sequence[Item],
        *,
        batch_size: int | None = None,
        options: GenerationOptions | None = None,
    ) -> list[Result]:
        """Results in the order of the items.

        Args:
            items: The items.
            batch_size: Most items in one run; what suits the model when not given.
            options: How to answer.
        """

    def stream(self, item: Item, options: GenerationOptions | None = None) -> Iterator[str]:
        """The answer to one item, in pieces of whole characters as they are made.

        Args:
            item: What to answer.
            options: How to answer.
        """
        for piece, _answer in self.streamed(item, options):
            if piece:
                yield piece

    @abstractmethod
    def streamed(
        self, item: Item, options: GenerationOptions | None = None
    ) -> Iterator[tuple[str, Answer]]:
        """As `stream`, one entry a token, with the answer in the making."""

    @property
    def _pad_id(self) -> int:
        text = self.task.specification.text
        return 0 if text is None else text.pad_id


class BatchGenerator(Generator):
    """A generator that answers a batch of items with one decoder."""

    @abstractmethod
    def begin(
        self, items: Sequence[Item], numbers: Sequence[int], options: GenerationOptions
    ) -> tuple[Decoder, list[Answer]]:
        """A fresh decoder for a batch, and its answers to be made.

        Args:
            items: The batch.
            numbers: The items' places in the call, from 1; messages call them so.
            options: How to answer.

        Raises:
            InputError: An item does not fit the model, or, where nothing is cut, the answer.
        """

    def batch(  # type: ignore[override]  # adds the options, as Generator does
        self,
        items: Sequence[Item],
        *,
        batch_size: int | None = None,
        options: GenerationOptions | None = None,
    ) -> list[Result]:
        """Results in the order of the items.

        Items of similar length share a batch.

        Args:
            items: The items.
            batch_size: Most items in one run; 8 when not given.
            options: How to answer.
        """
        if isinstance(items, str):
            raise InputError("batch takes a list of items, not one", expected='["a text", ...]')
        options = options or self.default_options
        size = batch_size or BATCH_SIZE
        order = list(range(len(items)))
        if all(isinstance(item, str) for item in items):
            order.sort(key=lambda i: len(items[i]))
        results: list[Result] = [{}] * len(order)
        for start in range(0, len(order), size):
            positions = order[start : start + size]
            numbers = [position + 1 for position in positions]
            decoder, answers = self.begin([items[i] for i in positions], numbers, options)
            for _pieces in generate(decoder, answers, pad_id=self._pad_id):
                pass
            for position, answer in zip(positions, answers, strict=True):
                results[position] = answer.result()
        return results

    def streamed(
        self, item: Item, options: GenerationOptions | None = None
    ) -> Iterator[tuple[str, Answer]]:
        """As `stream`, one entry a token, with the answer in the making."""
        decoder, answers = self.begin([item], [1], options or self.default_options)
        for (piece,) in generate(decoder, answers, pad_id=self._pad_id):
            yield piece, answers[0]


class TextGenerator(BatchGenerator):
    """Continues texts: a decoder-only model.

    Args:
        source: The package.
        variant: Its variant.
        session: The graph.
        task: What the model is for.
        encoder: Makes tokens of prompts.
    """

    def __init__(
        self, source: Path, variant: str, session: Session, task: Task, encoder: PromptEncoder
    ) -> None:
        super().__init__(source, variant, session, task)
        self._encoder = encoder
        self._feeds = DecoderFeeds(session.inputs)

    @property
    def specification(self) -> GenerationSpec:
        """How its decoder makes a text."""
        found = self.task.specification.generation
        assert found is not None
        return found

    def begin(
        self, items: Sequence[Item], numbers: Sequence[int], options: GenerationOptions
    ) -> tuple[Decoder, list[Answer]]:
        """A decoder with an empty cache; see `BatchGenerator.begin`."""
        spec = self.specification
        if options.chat and spec.chat is None:
            raise InputError(
                f"{self.source} has no form of a conversation: its model only continues texts",
                expected="a model whose chat template puts text around a question",
                fix="leave --chat out",
            )
        # A long prompt is cut, so that there is room for the answer; half of it at most.
        most = spec.max_context - min(options.max_new_tokens, spec.max_context // 2)
        chat = spec.chat if options.chat else None
        prompts = [
            self._encoder.ids(item, number, most=most, chat=chat)
            for item, number in zip(items, numbers, strict=True)
        ]
        if not self._encoder.truncate:
            for prompt, number in zip(prompts, numbers, strict=True):
                asked = options.max_new_tokens
                check_room(len(prompt), number, most=asked, room=spec.max_context)
        answers = [
            Answer(
                prompt,
                tokenizer=self._encoder.tokenizer,
                options=options,
                ending=Ending(end_ids=spec.end_ids, room=spec.max_context),
                number=number,
            )
            for prompt, number in zip(prompts, numbers, strict=True)
        ]
        return CachedDecoder(self.session, self._feeds), answers


def load_generator(
    package: ModelPackage,
    variant: Variant,
    options: SessionOptions,
    reading: TaskOptions | None = None,
) -> TextGenerator:
    """Open one variant of a text-generation package; see `toolkit.inference.load`.

    Raises:
        InputError: The package is damaged, or has no tokenizer.
    """
    specification, preprocessing = package.contents.task, package.asset("preprocessing")
    if specification.text is None or specification.generation is None or preprocessing is None:
        raise InputError(
            f"{package.path} does not say how its model makes texts",
            expected="a tokenizer and a generation specification",
            fix="export the package again",
        )
    options = options_for(variant, options)
    session = open_session(package.verified(variant), options, config=variant.session_options)
    file = preprocessing / "tokenizer.json"
    encoder = PromptEncoder(
        file,
        specification.text,
        specification.generation,
        session.inputs,
        truncate=(reading or TaskOptions()).truncate,
    )
    task = Task(specification, encoder)
    return TextGenerator(package.path, variant.name, session, task, encoder)
