"""Prompts to the feeds of a decoder's first step, with nothing but `tokenizers`."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from toolkit.errors import InputError, ToolkitWarning
from toolkit.tasks.sequence import PAST
from toolkit.tasks.specification import ChatSpec, GenerationSpec, TextSpec
from toolkit.tasks.text import open_tokenizer
from toolkit.tensors import Array, TensorSpec


class PromptEncoder:
    """Prompts to `input_ids`, `attention_mask`, `position_ids` and a cache of nothing.

    Args:
        file: The `tokenizer.json`.
        text: Length limit and padding.
        generation: Room, and what an empty prompt becomes.
        inputs: The decoder's inputs.
        truncate: Cut prompts that are too long, with a warning; they are errors otherwise.

    Attributes:
        tokenizer: Makes tokens of text, and text of tokens.
        truncate: Whether anything is cut.
    """

    def __init__(
        self,
        file: Path,
        text: TextSpec,
        generation: GenerationSpec,
        inputs: Sequence[TensorSpec],
        *,
        truncate: bool = True,
    ) -> None:
        self.tokenizer: Tokenizer = open_tokenizer(file, text)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._text = text
        self.truncate = truncate
        self._generation = generation
        self._feeds = DecoderFeeds(inputs)

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """Feeds of a first step, padded on the left to the longest prompt."""
        most = min(self._text.max_length, self._generation.max_context)
        prompts = [
            self.ids(item, number, most=most) for item, number in zip(items, numbers, strict=True)
        ]
        ids, mask = padded_left(prompts, self._text.pad_id)
        return self._feeds.make(ids, mask, self._feeds.empty(len(prompts)))

    def ids(
        self, item: object, number: int, *, most: int, chat: ChatSpec | None = None
    ) -> list[int]:
        """The tokens of a prompt; of one that is too long the last ones, with a warning.

        Args:
            item: The prompt.
            number: What messages call it.
            most: Tokens that there is room for.
            chat: Puts the prompt into the form that the model was trained on conversations in.

        Raises:
            InputError: It is no text, or empty for a model without a token to begin with, or too
                long where nothing is cut.
        """
        if not isinstance(item, str):
            raise InputError(f"prompt {number} is {item!r}", expected="a string")
        text = f"{chat.before}{item}{chat.after}" if chat else item
        try:
            # The form has every special token that there shall be.
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=chat is None).ids
        except TypeError as error:
            raise InputError(
                f"prompt {number} holds half a character, a lone surrogate",
                expected="valid Unicode, which UTF-8 can hold",
            ) from error
        ids = ids or list(self._generation.start_ids)
        if not ids:
            raise InputError(
                f"prompt {number} is empty, and the model has no token to begin a text with",
                expected="at least one character",
            )
        if len(ids) > most:
            if not self.truncate:
                raise InputError(
                    f"prompt {number} has {len(ids):,} tokens: beside the answer there is room for "
                    f"{most:,}",
                    expected=f"prompts of at most {most:,} tokens",
                    fix="leave --no-truncate out, cut the prompt, or ask for a shorter answer",
                )
            warnings.warn(
                f"prompt {number} ({len(ids):,} tokens) was cut to its last {most:,} tokens",
                ToolkitWarning,
                stacklevel=3,
            )
        return ids[-most:]


class DecoderFeeds:
    """Makes the feeds of one step of a decoder with a cache.

    Args:
        inputs: The graph's inputs.

    Raises:
        InputError: The graph takes something that is made nowhere.

    Attributes:
        past: Names of the inputs that take keys and values.
    """

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        self._cache = {spec.name: spec for spec in inputs if spec.name.startswith(f"{PAST}.")}
        self.past = tuple(self._cache)
        others = {spec.name for spec in inputs} - self._cache.keys()
        self._is_placed = "position_ids" in others
        unknown = others - {"input_ids", "attention_mask", "position_ids"}
        if unknown or not self._cache:
            raise InputError(
                f"the decoder takes {', '.join(sorted(others))}",
                expected=f"input_ids, attention_mask, position_ids and {PAST}.N.key and .value",
                fix="toolkit infer MODEL --input NAME=FILE.npy",
            )

    def empty(self, batch: int) -> dict[str, Array]:
        """A cache of nothing: float32[batch, heads, 0, width] a name."""
        return {
            name: np.zeros((batch, int(spec.shape[1]), 0, int(spec.shape[3])), np.float32)
            for name, spec in self._cache.items()
        }

    def make(self, ids: Array, mask: Array, cache: dict[str, Array]) -> dict[str, Array]:
        """The feeds of a step.

        Args:
            ids: int64[batch, sequence], the new tokens.
            mask: int64[batch, past + sequence], 0 for padding.
            cache: Keys and values of the past, by input name.
        """
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._is_placed:
            # Padding stands before the first token, which is at position 0.
            positions = np.cumsum(mask, axis=1)[:, mask.shape[1] - ids.shape[1] :] - 1
            feeds["position_ids"] = np.maximum(positions, 0)
        return feeds | cache


def padded_left(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Array, Array]:
    """Prompts as one array: int64[batch, sequence] of ids, and of a mask that is 0 for padding."""
    longest = max(map(len, prompts))
    ids = np.full((len(prompts), longest), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
