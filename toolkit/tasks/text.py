"""Texts to token ids, with nothing but `tokenizers`."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from tokenizers import Encoding, Tokenizer

from toolkit.errors import InputError, ToolkitWarning
from toolkit.tasks.specification import TextSpec
from toolkit.tensors import Array, TensorSpec

Pair = tuple[str, str]

PAIR_FIELDS = ("text", "text_pair")
"""What a pair's texts are called, as in the pipelines of transformers."""

_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""What a graph calls its inputs, and tokenizers its own."""

_REAL = [1]


class TextEncoder:
    """Texts to `input_ids`, `attention_mask` and `token_type_ids`, as far as the graph takes them.

    An item is a text, or two: a tuple or list of two, or `{"text": ..., "text_pair": ...}`.

    Args:
        file: The `tokenizer.json`.
        specification: Length limit and padding.
        inputs: The graph's inputs.
        truncate: Cut texts that are too long, with a warning; they are errors otherwise.

    Where the graph's sequence is fixed, every text is padded or cut to it.

    Raises:
        InputError: The file is missing or no tokenizer, or the graph takes another input.
    """

    def __init__(
        self,
        file: Path,
        specification: TextSpec,
        inputs: Sequence[TensorSpec],
        *,
        truncate: bool = True,
    ) -> None:
        self._fixed = fixed_length(inputs)
        self._specification = shortened(specification, inputs)
        self._truncate = truncate
        self.tokenizer = open_tokenizer(file, self._specification, length=self._fixed)
        self._fields = input_fields(inputs)

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """int64[batch, sequence] an input, padded on the right to the longest text."""
        return self.feeds(self._encodings(items, numbers, offsets=False))

    def encodings(self, items: Sequence[object], numbers: Sequence[int]) -> list[Encoding]:
        """Where every token of the texts stands, padded to the longest; see `__call__`.

        Raises:
            InputError: An item is no text, or too long and not to be cut.
        """
        return self._encodings(items, numbers, offsets=True)

    def feeds(self, encodings: Sequence[Encoding]) -> dict[str, Array]:
        """int64[batch, sequence] an input."""
        if len(encodings[0]) == 0:  # padding gives all of a batch one length
            return self._without_tokens(len(encodings))
        return {
            name: np.array([getattr(encoding, field) for encoding in encodings], dtype)
            for name, field, dtype in self._fields
        }

    def _encodings(
        self, items: Sequence[object], numbers: Sequence[int], *, offsets: bool
    ) -> list[Encoding]:
        texts: list[str | Pair] = []
        for position, item in enumerate(items):
            # The rest of what can be wrong, tokenizers finds faster than a look beforehand.
            if isinstance(item, str) and item and not item.isspace():
                texts.append(item)
            else:
                texts.append(_pair(item, numbers[position]))
        tokenizer = self.tokenizer
        try:
            encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
            encodings = encode(texts)
        except TypeError as error:
            raise half_a_character(texts, numbers) from error
        for position, encoding in enumerate(encodings):
            if encoding.overflowing:
                self._too_long(numbers[position], len("".join(texts[position])))
            if encoding.attention_mask[:1] != _REAL:  # padding from the first token on
                _warn_unknown(numbers[position])
        return encodings

    def _without_tokens(self, batch: int) -> dict[str, Array]:
        """One token of padding a text: no graph takes a sequence of length 0."""
        fill = {"input_ids": self._specification.pad_id}
        return {
            name: np.full((batch, self._fixed or 1), fill.get(name, 0), dtype)
            for name, _, dtype in self._fields
        }

    def _too_long(self, number: int, characters: int) -> None:
        limit = self._specification.max_length
        if not self._truncate:
            raise InputError(
                f"text {number} ({characters:,} characters) has more than {limit} tokens",
                expected=f"texts of at most {limit} tokens, special ones included",
                fix="leave --no-truncate out, or cut the text",
            )
        warnings.warn(
            f"text {number} ({characters:,} characters) was cut to the first {limit} tokens",
            ToolkitWarning,
            stacklevel=3,
        )


def input_fields(inputs: Sequence[TensorSpec]) -> list[tuple[str, str, type]]:
    """Of each graph input its name, what tokenizers calls it, and its dtype.

    Raises:
        InputError: The graph takes an input that a tokenizer does not make.
    """
    unknown = [spec.name for spec in inputs if spec.name not in _FIELDS]
    if unknown:
        raise InputError(
            f"the graph takes {unknown[0]!r}, which a tokenizer does not make",
            expected=f"inputs among {', '.join(_FIELDS)}",
            fix="toolkit infer MODEL --input NAME=FILE.npy",
        )
    # numpy makes an array of a type (np.int64) faster than of its dtype.
    return [(spec.name, _FIELDS[spec.name], np.dtype(spec.dtype).type) for spec in inputs]


def fixed_length(inputs: Sequence[TensorSpec]) -> int | None:
    """The tokens that the graph takes, [batch, sequence]; None where they are symbolic."""
    sizes = {spec.shape[1] for spec in inputs if len(spec.shape) == 2}
    return min((size for size in sizes if isinstance(size, int)), default=None)


def shortened(specification: TextSpec, inputs: Sequence[TensorSpec]) -> TextSpec:
    """The specification with no more tokens than the graph takes."""
    most = min(specification.max_length, fixed_length(inputs) or specification.max_length)
    return msgspec.structs.replace(specification, max_length=most)


def open_tokenizer(file: Path, specification: TextSpec, *, length: int | None = None) -> Tokenizer:
    """A tokenizer with the specification's truncation and padding.

    Args:
        file: The `tokenizer.json`.
        specification: Length limit and padding.
        length: Tokens that every text is padded to; those of the batch's longest when not given.

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
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if length is not None and length < special:  # which tokenizers would not cut off
        raise InputError(
            f"the graph takes {length} of a text's tokens, and {special} special ones are in each",
            expected=f"{special} tokens or more",
            fix="another size in --fix-shapes",
        )
    tokenizer.enable_truncation(specification.max_length)
    tokenizer.enable_padding(
        pad_id=specification.pad_id, pad_token=specification.pad_token, length=length
    )
    return tokenizer


def characters(item: object) -> int:
    """About how long a text item is: what batches of similar length are sorted by."""
    if isinstance(item, str):
        return len(item)
    parts = item.values() if isinstance(item, Mapping) else item
    listed = parts if isinstance(parts, Iterable) else ()  # encoding refuses the rest
    return sum(len(part) for part in listed if isinstance(part, str))


def half_a_character(texts: Sequence[str | Pair], numbers: Sequence[int]) -> InputError:
    """Which text is not Unicode: the one thing that tokenizers refuses in a string."""
    for text, number in zip(texts, numbers, strict=True):
        for part in (text,) if isinstance(text, str) else text:
            try:
                part.encode()
            except UnicodeEncodeError as error:
                return InputError(
                    f"text {number} holds half a character (a lone surrogate, which a broken byte "
                    f"becomes) at position {error.start}",
                    expected="valid Unicode, which UTF-8 can hold",
                )
    raise AssertionError("tokenizers refused texts that are all valid")


def _pair(item: object, number: int) -> Pair:
    """An item that is no text by itself, as the two texts that it must be then."""
    if isinstance(item, Mapping) and set(item) == set(PAIR_FIELDS):
        parts = [item[name] for name in PAIR_FIELDS]
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        parts = [*item]
    elif isinstance(item, str):
        raise _empty(number)
    else:
        parts = [None]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(
            f"text {number} is {item!r}",
            expected='a string, or two: ["...", "..."] or {"text": "...", "text_pair": "..."}',
        )
    if any(not part or part.isspace() for part in parts):
        raise _empty(number)
    first, second = parts
    return first, second


def _empty(number: int) -> InputError:
    return InputError(f"text {number} is empty", expected="at least one character that is no space")


def _warn_unknown(number: int) -> None:
    warnings.warn(
        f"the tokenizer leaves nothing of text {number}: no token of it is known to the model",
        ToolkitWarning,
        stacklevel=4,
    )
