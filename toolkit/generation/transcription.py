"""Texts from speech: an encoder hears a window of sound, and a decoder writes (Whisper)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.generation.loop import Answer, generate
from toolkit.generation.options import GenerationOptions
from toolkit.generation.steps import StepDecoder
from toolkit.generation.text import Decodes
from toolkit.generation.translation import EncoderDecoder, OpenPair, check_described, open_pair
from toolkit.package import ModelPackage
from toolkit.runtime import SessionOptions
from toolkit.tasks import AudioSpec, Item, Result, SpeechSpec, Task, TaskOptions
from toolkit.tasks.audio import samples_of, windows
from toolkit.tasks.mel import MelEncoder
from toolkit.tasks.text import open_tokenizer
from toolkit.tensors import Array

_TRANSCRIBE, _TRANSLATE = "transcribe", "translate"


class Transcriber(EncoderDecoder):
    """Writes down what is said, a window of sound at a time.

    Args:
        pair: The two graphs.
        task: What the model is for.
        tokenizer: Makes text of tokens.
        encoder: Makes features of sound.
        reading: Language, and whether to translate.

    Raises:
        InputError: The model does not know the language, or does not translate.
    """

    def __init__(
        self,
        pair: OpenPair,
        task: Task,
        tokenizer: Decodes,
        encoder: MelEncoder,
        reading: TaskOptions,
    ) -> None:
        super().__init__(pair, task, tokenizer, truncate=reading.truncate)
        self._encoder = encoder
        audio = task.specification.audio
        assert audio is not None
        assert audio.speech is not None
        self._audio: AudioSpec = audio
        self._speech: SpeechSpec = audio.speech
        self._language = reading.language or audio.speech.language
        self._work = _work(audio.speech, reading)
        _check_asked(self._speech, self._language, self._work, pair.package.path)

    def batch(  # type: ignore[override]  # adds the options, as Generator does
        self,
        items: Sequence[Item],
        *,
        batch_size: int | None = None,
        options: GenerationOptions | None = None,
    ) -> list[Result]:
        """{"text", and "language" of a model that knows several} an item, in order.

        Args:
            items: Audio files, or {"array", "sampling_rate"}.
            batch_size: Windows in one run; 1 when not given: every window is filled up to its full
                length, and nothing is gained by a second one on a CPU.
            options: How to answer.

        Raises:
            InputError: An item is no audio.
        """
        if isinstance(items, (str, Path, Mapping)):
            raise InputError("batch takes a list of items, not one", expected='["a.wav", ...]')
        options = options or self.default_options
        results: list[Result] = []
        for number, item in enumerate(items, start=1):
            pieces = self._windows(item, number)
            language, texts = self._language, []
            for start in range(0, len(pieces), batch_size or 1):
                some = pieces[start : start + (batch_size or 1)]
                language, decoder, prompt = self._begin(some, language)
                answers = [self.answer(prompt, options, number) for _ in some]
                for _ in generate(decoder, answers, pad_id=self._pad_id):
                    pass
                texts += [answer.text.strip() for answer in answers]
            results.append(self._result(texts, language))
        return results

    def streamed(
        self, item: Item, options: GenerationOptions | None = None
    ) -> Iterator[tuple[str, Answer]]:
        """Pieces of the text as they are made, with the answer of the window."""
        options = options or self.default_options
        language = self._language
        for position, piece in enumerate(self._windows(item, 1)):
            language, decoder, prompt = self._begin([piece], language)
            answers = [self.answer(prompt, options, 1)]
            begun = False
            for (text,) in generate(decoder, answers, pad_id=self._pad_id):
                shown = text if begun else text.lstrip()
                between = " " if shown and not begun and position else ""
                begun = begun or bool(shown)
                yield between + shown, answers[0]

    def _windows(self, item: Item, number: int) -> list[Array]:
        return windows(samples_of(item, number, self._audio.rate), self._audio)

    def _begin(self, pieces: Sequence[Array], language: str) -> tuple[str, StepDecoder, list[int]]:
        """The language, a decoder of the windows, and what it begins with."""
        encoded = self.encoded(self._encoder.feeds(pieces))
        speech, prompt = self._speech, list(self.specification.start_ids)
        if speech.languages:
            language = language or self._detected(encoded)
            prompt.append(speech.languages[language])
        if speech.tasks and self._work:
            prompt.append(speech.tasks[self._work])
        return language, self.decoding(encoded), [*prompt, *speech.suffix]

    def _detected(self, encoded: Mapping[str, Array]) -> str:
        """The likeliest language of the first window: the token behind the first one."""
        first = {name: value[:1] for name, value in encoded.items()}
        begin = np.array([self.specification.start_ids], np.int64)
        logits = self.decoding(first).step(begin, np.ones_like(begin))[0]
        return max(self._speech.languages, key=lambda code: logits[self._speech.languages[code]])

    def _result(self, texts: Sequence[str], language: str) -> Result:
        result: Result = {"text": " ".join(text for text in texts if text)}
        return {**result, "language": language} if language else result


def _work(speech: SpeechSpec, reading: TaskOptions) -> str:
    """The task that the decoder is told, as transformers' `generate` does; empty for none."""
    if reading.translate:
        return _TRANSLATE
    return speech.task or (_TRANSCRIBE if reading.language else "")


def _check_asked(speech: SpeechSpec, language: str, work: str, source: Path) -> None:
    if language and language not in speech.languages:
        raise InputError(
            f"{source} does not know the language {language!r}",
            expected=f"one of {', '.join(speech.languages)}"
            if speech.languages
            else "no language: the model has one alone",
        )
    if work == _TRANSLATE and work not in speech.tasks:
        raise InputError(f"{source} does not translate", fix="leave --translate out")


def load_transcriber(
    package: ModelPackage,
    variant: str | None,
    options: SessionOptions,
    reading: TaskOptions | None = None,
) -> Transcriber:
    """Open a speech package of an encoder and a decoder; see `toolkit.inference.load`.

    Raises:
        InputError: The package is damaged, or has no tokenizer, or does not know the language.
    """
    pair = open_pair(package, variant, options)
    task, preprocessing = package.contents.task, package.asset("preprocessing")
    check_described(package, task)
    if task.audio is None or task.audio.speech is None or len(pair.encoder.inputs) != 1:
        raise InputError(
            f"{package.path} does not say how its model hears", fix="export the package again"
        )
    assert task.text is not None
    assert preprocessing is not None
    tokenizer = open_tokenizer(preprocessing / "tokenizer.json", task.text)
    encoder = MelEncoder(task.audio, pair.encoder.inputs[0].name)
    return Transcriber(pair, Task(task, encoder), tokenizer, encoder, reading or TaskOptions())
