"""Texts to token ids, with nothing but `tokenizers`."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

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
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in inputs}
        unknown = [name for name in self._dtypes if name not in _FIELDS]
        if unknown:
            raise InputError(
                f"the graph takes {unknown[0]!r}, which a tokenizer does not make",
                expected=f"inputs among {', '.join(_FIELDS)}",
                fix="toolkit infer MODEL --input NAME=FILE.npy",
            )

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """int64[batch, sequence] an input, padded on the right to the longest text."""
        texts = [_checked(item, number) for item, number in zip(items, numbers, strict=True)]
        encodings = self._tokenizer.encode_batch_fast(texts)
        for position, encoding in enumerate(encodings):
            if encoding.overflowing:
                self._warn_truncated(numbers[position], len(texts[position]))
            if not any(encoding.attention_mask[:1]):  # padding from the first token on
                _warn_unknown(numbers[position])
        feeds = {
            name: np.array([_FIELDS[name](encoding) for encoding in encodings], dtype)
            for name, dtype in self._dtypes.items()
        }
        if not encodings[0].ids:  # padding gives all of a batch one length
            return self._without_tokens(len(encodings))
        return feeds

    def _without_tokens(self, batch: int) -> dict[str, Array]:
        """One token of padding a text: no graph takes a sequence of length 0."""
        fill = {"input_ids": self._specification.pad_id}
        return {
            name: np.full((batch, 1), fill.get(name, 0), dtype)
            for name, dtype in self._dtypes.items()
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


def _ids(encoding: Encoding) -> list[int]:
    return encoding.ids


def _mask(encoding: Encoding) -> list[int]:
    return encoding.attention_mask


def _types(encoding: Encoding) -> list[int]:
    return encoding.type_ids


_FIELDS = {"input_ids": _ids, "attention_mask": _mask, "token_type_ids": _types}


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


def _checked(item: object, number: int) -> str:
    if not isinstance(item, str):
        raise InputError(f"text {number} is {item!r}", expected="a string")
    if not item or item.isspace():
        raise InputError(
            f"text {number} is empty", expected="at least one character that is no space"
        )
    try:
        item.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"text {number} holds half a character (a lone surrogate) at position {error.start}",
            expected="valid Unicode, which UTF-8 can hold",
        ) from error
    return item
