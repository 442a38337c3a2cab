"""Texts to token ids, with nothing but `tokenizers`."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from toolkit.errors import InputError, ToolkitWarning
from toolkit.tasks.specification import TextSpec
from toolkit.tensors import Array, TensorSpec


class TextEncoder:
    """Texts to `input_ids`, `attention_mask` and `token_type_ids`, as far as the graph takes them.

    Args:
        file: The `tokenizer.json`.
        specification: Length limit and padding.
        inputs: The graph's inputs.

    Raises:
        InputError: The file is missing or no tokenizer, or the graph takes another input.
    """

    def __init__(self, file: Path, specification: TextSpec, inputs: Sequence[TensorSpec]) -> None:
        self._specification = specification
        self._tokenizer = open_tokenizer(file, specification)
        unknown = [spec.name for spec in inputs if spec.name not in _FIELDS]
        if unknown:
            raise InputError(
                f"the graph takes {unknown[0]!r}, which a tokenizer does not make",
                expected=f"inputs among {', '.join(_FIELDS)}",
                fix="toolkit infer MODEL --input NAME=FILE.npy",
            )
        # numpy makes an array of a type (np.int64) faster than of its dtype.
        self._fields = [
            (spec.name, _FIELDS[spec.name], np.dtype(spec.dtype).type) for spec in inputs
        ]

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """int64[batch, sequence] an input, padded on the right to the longest text."""
        for position, item in enumerate(items):
            # The rest of what can be wrong, tokenizers finds faster than a look beforehand.
            if not isinstance(item, str) or not item or item.isspace():
                raise _refusal(item, numbers[position])
        try:
            encodings = self._tokenizer.encode_batch_fast(items)
        except TypeError as error:
            raise _half_a_character(items, numbers) from error
        for position, encoding in enumerate(encodings):
            if encoding.overflowing:
                self._warn_truncated(numbers[position], len(str(items[position])))
            if encoding.attention_mask[:1] != _REAL:  # padding from the first token on
                _warn_unknown(numbers[position])
        if len(encodings[0]) == 0:  # padding gives all of a batch one length
            return self._without_tokens(len(encodings))
        return {
            name: np.array([getattr(encoding, field) for encoding in encodings], dtype)
            for name, field, dtype in self._fields
        }

    def _without_tokens(self, batch: int) -> dict[str, Array]:
        """One token of padding a text: no graph takes a sequence of length 0."""
        fill = {"input_ids": self._specification.pad_id}
        return {
            name: np.full((batch, 1), fill.get(name, 0), dtype) for name, _, dtype in self._fields
        }

    def _warn_truncated(self, number: int, characters: int) -> None:
        warnings.warn(
            f"text {number} ({characters:,} characters) was cut to the first "
            f"{self._specification.max_length} tokens",
            ToolkitWarning,
            stacklevel=3,
        )


def _warn_unknown(number: int) -> None:
    warnings.warn(
        f"the tokenizer leaves nothing of text {number}: no token of it is known to the model",
        ToolkitWarning,
        stacklevel=4,
    )


_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""What a graph calls its inputs, and tokenizers its own."""

_REAL = [1]


def open_tokenizer(file: Path, specification: TextSpec) -> Tokenizer:
    """A tokenizer with the specification's truncation and padding.

    Raises:
        InputError: The file is missing or no tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except Exception as error:  # tokenizers raises bare Exception for every broken file
        raise InputError(
            f"{file} is no tokenizer: {error}",
            expected="a tokenizer.json of Hugging Face tokenizers",
        ) from error
    tokenizer.enable_truncation(specification.max_length)
    tokenizer.enable_padding(pad_id=specification.pad_id, pad_token=specification.pad_token)
    return tokenizer


def _refusal(item: object, number: int) -> InputError:
    if not isinstance(item, str):
        return InputError(f"text {number} is {item!r}", expected="a string")
    return InputError(f"text {number} is empty", expected="at least one character that is no space")


def _half_a_character(items: Sequence[object], numbers: Sequence[int]) -> InputError:
    """Which text is not Unicode: the one thing that tokenizers refuses in a string."""
    for item, number in zip(items, numbers, strict=True):
        try:
            str(item).encode()
        except UnicodeEncodeError as error:
            return InputError(
                f"text {number} holds half a character (a lone surrogate, which a broken byte "
                f"becomes) at position {error.start}",
                expected="valid Unicode, which UTF-8 can hold",
            )
    raise AssertionError("tokenizers refused texts that are all valid")
