"""The loop of generation: logits, a token, its text, and again."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from toolkit.errors import InputError, ToolkitWarning
from toolkit.generation.options import GenerationOptions
from toolkit.generation.sampling import Sampler
from toolkit.generation.text import Decodes, Detokenizer, StopStrings
from toolkit.tasks import Result
from toolkit.tasks.prompt import padded_left
from toolkit.tensors import Array

LogitRule = Callable[[Array, Sequence[int]], Array]
"""Changes logits, float32[vocabulary], given the tokens of the answer so far: what some models
forbid or force. It returns an array and leaves the one that it is given alone."""


class Decoder(Protocol):
    """Computes the logits of the next token, and remembers the tokens that it was given.

    One is made for each batch. The decoder of an encoder-decoder is made with what the encoder
    gave, and gets its first tokens as a prompt.
    """

    def step(self, ids: Array, mask: Array) -> Array:
        """The logits of the token behind the last one.

        Args:
            ids: int64[batch, sequence], the tokens since the last call: at first the prompts, of
                one length by padding on the left, then one a row.
            mask: int64[batch, sequence], 0 for padding.

        Returns:
            float32[batch, vocabulary].
        """


@dataclass(frozen=True, kw_only=True)
class Ending:
    """When an answer is at its end, beside what the user chose.

    Attributes:
        end_ids: Tokens that end an answer, and are no part of it.
        room: Tokens that the decoder can take, prompt and answer together.
        pad_id: A token for where none is.
    """

    end_ids: tuple[int, ...]
    room: int
    pad_id: int = 0


class Answer:
    """One answer in the making.

    Attributes:
        prompt: The tokens that it continues.
        tokens: Its own tokens, without the one that ended it.
        text: Its text as far as it was given out.
        ended_by: What ended it: the model ("end"), a stop string ("stop"), or the limit on tokens
            ("length"); none while it goes on.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        tokenizer: Decodes,
        options: GenerationOptions,
        ending: Ending,
        rules: Sequence[LogitRule] = (),
        number: int = 0,
    ) -> None:
        self.prompt = list(prompt)
        self.tokens: list[int] = []
        self.text = ""
        self.ended_by: Literal["end", "stop", "length"] | None = None
        self._most = min(options.max_new_tokens, ending.room - len(self.prompt))
        self._asked = options.max_new_tokens
        self._number = number
        self._ending = ending
        self._sampler = Sampler(options, number)
        self._rules = rules
        self._detokenizer = Detokenizer(tokenizer, self.prompt)
        self._stops = StopStrings(options.stop)
        self._began = time.perf_counter()
        self._seconds = 0.0

    def take(self, logits: Array) -> str:
        """Choose the next token; returns the text that is certain by now.

        Args:
            logits: float32[vocabulary].
        """
        for rule in self._rules:
            logits = rule(logits, self.tokens)
        token = self._sampler.choose(logits, [*self.prompt, *self.tokens])
        if token in self._ending.end_ids:
            return self._end("end")
        self.tokens.append(token)
        piece = self._stops.take(self._detokenizer.take(token))
        self.text += piece
        if self._stops.stopped:
            return piece + self._end("stop")
        if len(self.tokens) >= self._most:
            if self._most < self._asked:
                warnings.warn(
                    f"answer {self._number} was cut after {self._most:,} of {self._asked:,} "
                    f"tokens: prompt and answer have room for {self._ending.room:,}",
                    ToolkitWarning,
                    stacklevel=2,
                )
            return piece + self._end("length")
        return piece

    def _end(self, reason: Literal["end", "stop", "length"]) -> str:
        self.ended_by = reason
        self._seconds = time.perf_counter() - self._began
        piece = self._stops.take(self._detokenizer.rest()) + self._stops.rest()
        self.text += piece
        return piece

    def result(self) -> Result:
        """{text, tokens, tokens_per_s, ended_by}; the speed counts the prompt's time too."""
        return {
            "text": self.text,
            "tokens": len(self.tokens),
            "tokens_per_s": len(self.tokens) / self._seconds if self._seconds else 0.0,
            "ended_by": self.ended_by,
        }


def check_room(prompt: int, number: int, *, most: int, room: int) -> None:
    """Whether a model has the positions for a prompt and the longest answer.

    Args:
        prompt: Tokens of the prompt.
        number: What messages call it.
        most: Tokens that are asked for.
        room: Tokens that the decoder can take, prompt and answer together.

    Raises:
        InputError: It has not.
    """
    if prompt + most > room:
        left = room - prompt
        raise InputError(
            f"answer {number} may have {most:,} tokens behind {prompt:,} of the prompt: there is "
            f"room for {room:,} together",
            expected=f"at most {left:,} new tokens",
            fix=f"--max-new-tokens {left}, or leave --no-truncate out",
        )


def generate(decoder: Decoder, answers: Sequence[Answer], *, pad_id: int) -> Iterator[list[str]]:
    """Continue all answers of a batch to their ends.

    Args:
        decoder: A fresh one.
        answers: Fresh ones, each with a prompt of one token or more.
        pad_id: A token that fills the shorter prompts, on the left.

    Yields:
        After each token the new text of every answer, mostly a word or nothing.
    """
    ids, mask = padded_left([answer.prompt for answer in answers], pad_id)
    while True:
        logits = decoder.step(ids, mask)
        pieces = [
            "" if answer.ended_by else answer.take(row)
            for answer, row in zip(answers, logits, strict=True)
        ]
        yield pieces
        if all(answer.ended_by for answer in answers):
            return
        going = np.array([not answer.ended_by for answer in answers])
        last = [answer.tokens[-1] if not answer.ended_by else pad_id for answer in answers]
        ids, mask = np.array(last, np.int64)[:, None], going.astype(np.int64)[:, None]
