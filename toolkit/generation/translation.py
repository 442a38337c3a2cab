"""Texts from texts: an encoder reads, and a decoder writes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.choosing import chosen_of_each, options_for
from toolkit.errors import InputError
from toolkit.generation.loop import Answer, Decoder, Ending, check_room
from toolkit.generation.model import BatchGenerator, Generator
from toolkit.generation.options import GenerationOptions
from toolkit.generation.rules import logit_rules
from toolkit.generation.steps import StepDecoder, check_decoder, crossed
from toolkit.generation.text import Decodes
from toolkit.package import ModelPackage
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import GenerationSpec, Item, Task, TaskOptions, TaskSpec
from toolkit.tasks.sequence import DECODER, ENCODER
from toolkit.tasks.text import TextEncoder
from toolkit.tensors import Array


@dataclass(frozen=True, kw_only=True)
class OpenPair:
    """The two components of an encoder-decoder, opened.

    Attributes:
        package: Where they are from.
        variant: The name of their variant; of each, where they differ.
        encoder: The encoder's graph.
        decoder: The decoder's graph.
    """

    package: ModelPackage
    variant: str
    encoder: Session
    decoder: Session


class EncoderDecoder(Generator):
    """A model of an encoder and a decoder. Its graph inputs are the encoder's.

    Args:
        pair: The two graphs.
        task: What the model is for.
        tokenizer: Makes text of tokens.
        truncate: Cut answers that there is no room for, with a warning; asking for one is an error
            otherwise.
    """

    def __init__(
        self, pair: OpenPair, task: Task, tokenizer: Decodes, *, truncate: bool = True
    ) -> None:
        super().__init__(pair.package.path, pair.variant, pair.encoder, task)
        check_decoder(pair.decoder.inputs, pair.encoder.outputs)
        self._decoder = pair.decoder
        self._tokenizer = tokenizer
        self._truncate = truncate

    @property
    def placement(self) -> Mapping[str, int]:
        """Graph nodes of both components by ONNX Runtime's provider name."""
        return dict(Counter(self.session.placement) + Counter(self._decoder.placement))

    @property
    def elsewhere(self) -> Mapping[str, int]:
        """Nodes of both components by operator type that another provider runs."""
        return dict(Counter(self.session.elsewhere) + Counter(self._decoder.elsewhere))

    @property
    def specification(self) -> GenerationSpec:
        """How its decoder makes a text."""
        found = self.task.specification.generation
        assert found is not None
        return found

    @property
    def default_options(self) -> GenerationOptions:
        """The likeliest token each time, as many as there is room for."""
        return GenerationOptions(max_new_tokens=self.specification.max_context)

    def encoded(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """What the encoder makes of its feeds, and every step of the decoder takes."""
        return crossed(self.session.run(feeds), feeds.get("attention_mask"))

    def decoding(self, encoded: Mapping[str, Array]) -> StepDecoder:
        """A fresh decoder; see `encoded`."""
        return StepDecoder(self._decoder, encoded)

    def answer(self, prompt: Sequence[int], options: GenerationOptions, number: int) -> Answer:
        """An answer to be made.

        Args:
            prompt: What the decoder begins with.
            options: How to answer.
            number: The item's place in the call.

        Raises:
            InputError: The form of a conversation is asked for, or, where nothing is cut, more
                tokens than there is room for.
        """
        if options.chat:
            raise InputError(f"{self.source} has no form of a conversation", fix="leave --chat out")
        spec = self.specification
        if options.max_new_tokens == self.default_options.max_new_tokens:  # whatever there is
            options = replace(options, max_new_tokens=spec.max_context - len(prompt))
        if not self._truncate:
            asked = options.max_new_tokens
            check_room(len(prompt), number, most=asked, room=spec.max_context)
        ending = Ending(end_ids=spec.end_ids, room=spec.max_context)
        return Answer(
            prompt,
            tokenizer=self._tokenizer,
            options=options,
            ending=ending,
            rules=logit_rules(spec.logits, prompt, ending=ending, options=options),
            number=number,
        )


class Translator(EncoderDecoder, BatchGenerator):
    """Writes a text for a text: a translation, a summary, an answer."""

    def begin(
        self, items: Sequence[Item], numbers: Sequence[int], options: GenerationOptions
    ) -> tuple[Decoder, list[Answer]]:
        """A decoder of the encoded texts; see `BatchGenerator.begin`."""
        decoder = self.decoding(self.encoded(self.task.encode(items, numbers)))
        prompt = self.specification.start_ids
        return decoder, [self.answer(prompt, options, number) for number in numbers]


def open_pair(package: ModelPackage, variant: str | None, options: SessionOptions) -> OpenPair:
    """Open the encoder and the decoder of a package.

    Args:
        package: The package.
        variant: The variant of each component, as `chosen_of_each` chooses.
        options: Provider, threads and the like.

    Raises:
        InputError: It has other components, or no such variant.
        SetupError: The provider cannot run here.
    """
    if set(package.component_names) != {ENCODER, DECODER}:
        raise InputError(
            f"{package.path} has the components {', '.join(package.component_names)}",
            expected=f"{ENCODER} and {DECODER}, for the task {package.contents.task.name}",
            fix="export the package again",
        )
    chosen = chosen_of_each(package, variant, options)
    names = {name: one.name for name, one in chosen.items()}
    opened = {
        name: open_session(
            package.focused(name).verified(one),
            # The idle threads of one graph would be in the way of the other's.
            options_for(one, options if name == DECODER else replace(options, spinning=False)),
            config=one.session_options,
        )
        for name, one in chosen.items()
    }
    same = len(set(names.values())) == 1
    return OpenPair(
        package=package,
        variant=names[DECODER] if same else f"{names[ENCODER]} and {names[DECODER]}",
        encoder=opened[ENCODER],
        decoder=opened[DECODER],
    )


def load_translator(
    package: ModelPackage,
    variant: str | None,
    options: SessionOptions,
    reading: TaskOptions | None = None,
) -> Translator:
    """Open a text-to-text package; see `toolkit.inference.load`.

    Raises:
        InputError: The package is damaged, or has no tokenizer.
    """
    pair = open_pair(package, variant, options)
    task, preprocessing = package.contents.task, package.asset("preprocessing")
    check_described(package, task)
    assert task.text is not None
    assert preprocessing is not None
    truncate = (reading or TaskOptions()).truncate
    file = preprocessing / "tokenizer.json"
    encoder = TextEncoder(file, task.text, pair.encoder.inputs, truncate=truncate)
    return Translator(pair, Task(task, encoder), encoder.tokenizer, truncate=truncate)


def check_described(package: ModelPackage, task: TaskSpec) -> None:
    """Whether a package says how its decoder makes texts.

    Raises:
        InputError: It does not.
    """
    described = task.text is not None and task.generation is not None
    if not described or package.asset("preprocessing") is None:
        raise InputError(
            f"{package.path} does not say how its model makes texts",
            expected="a tokenizer and a generation specification",
            fix="export the package again",
        )
