"""Question answering: the span of a context that answers a question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding, Tokenizer

from toolkit.errors import InputError
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.specification import TextSpec
from toolkit.tasks.text import fixed_length, half_a_character, input_fields, shortened
from toolkit.tensors import Array, TensorSpec

FIELDS = ("question", "context")
START, END = "start_logits", "end_logits"
LONGEST_ANSWER = 15
"""Tokens of an answer."""
CANDIDATES = 12
"""Spans of a window that are looked at: some are one answer, since answers are whole words."""
_MASKED = -10000.0
"""Logit of a token that is no part of the context."""

_Span = tuple[int, int]
"""The first character, and the one behind the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Question:
    """A question with its context as tokens.

    Attributes:
        context: The context.
        encoding: Question and context whole, neither cut nor padded.
        first: The first token of the context.
        windows: First and last token, plus one, of the context's part in each window.
    """

    context: str
    encoding: Encoding
    first: int
    windows: tuple[tuple[int, int], ...]


class AnswerReader:
    """Answers to questions, each out of its own context.

    A context that is too long for the model is read in windows that share `stride` tokens. A span's
    score is the product of the probabilities that it starts and ends where it does, within its
    window; an answer's is the sum over the spans of a window that read the same, of the window
    where that is largest.

    Args:
        tokenizer: Makes tokens; neither its truncation nor its padding is used.
        specification: Length of a window, overlap and padding.
        inputs: The graph's inputs.
        no_answer: Let the answer be empty, where the model holds that for likelier.

    Source: transformers 4.57, QuestionAnsweringPipeline, which adds scores over windows too; they
        are sums of probabilities above 1 then.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        specification: TextSpec,
        inputs: Sequence[TensorSpec],
        *,
        no_answer: bool,
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._specification = shortened(specification, inputs)
        self._fixed = fixed_length(inputs)
        self._fields = input_fields(inputs)
        self._no_answer = no_answer

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of {"question": ..., "context": ...}, one row a window.

        Raises:
            InputError: An item is none, or its question leaves no room for the context.
        """
        pairs = [_checked(item, number) for item, number in zip(items, numbers, strict=True)]
        try:
            encodings = self._tokenizer.encode_batch(pairs)
        except TypeError as error:
            raise half_a_character(pairs, numbers) from error
        questions = [
            self._question(pair[1], encoding, number)
            for pair, encoding, number in zip(pairs, encodings, numbers, strict=True)
        ]
        rows = [row for row, question in enumerate(questions) for _ in question.windows]
        return Batch(self._feeds(questions), questions, tuple(rows))

    def _question(self, context: str, encoding: Encoding, number: int) -> _Question:
        owners = encoding.sequence_ids
        inside = [position for position, owner in enumerate(owners) if owner == 1]
        if not inside:
            raise InputError(
                f"the tokenizer leaves nothing of the context of question {number}",
                expected="a context with tokens that are known to the model",
            )
        first, last = inside[0], inside[-1] + 1
        room = self._specification.max_length - (len(owners) - len(inside))
        shared = self._specification.stride
        if last - first > room and room <= shared:
            raise InputError(
                f"question {number} has {owners.count(0)} tokens, which leaves room for "
                f"{max(room, 0)} of its context in {self._specification.max_length}",
                expected=f"room for more than the {shared} that two windows share",
            )
        starts = range(first, max(last - shared, first + 1), max(room - shared, 1))
        windows = tuple((start, min(start + room, last)) for start in starts)
        return _Question(context=context, encoding=encoding, first=first, windows=windows)

    def _feeds(self, questions: Sequence[_Question]) -> dict[str, Array]:
        rows = [[*_positions(question, window)] for question, window in _windows(questions)]
        owners = [question for question, _ in _windows(questions)]
        width = self._fixed or max(map(len, rows))
        feeds: dict[str, Array] = {}
        for name, field, dtype in self._fields:
            fill = self._specification.pad_id if name == "input_ids" else 0
            feeds[name] = np.full((len(rows), width), fill, dtype)
            whole = {id(q): getattr(q.encoding, field) for q in questions}
            for row, (positions, question) in enumerate(zip(rows, owners, strict=True)):
                values = whole[id(question)]
                feeds[name][row, : len(positions)] = [values[i] for i in positions]
        return feeds

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"answer", "score", "start", "end", "no_answer_score"} a question; see `Batch`.

        The last is the least probability, of all windows, that the window holds no answer.
        """
        rows = zip(outputs[START], outputs[END], strict=True)
        results: list[Result] = []
        for question in batch.notes:
            found: dict[str, tuple[float, _Span]] = {}
            nothing = 1.0
            for window in question.windows:
                starts, ends = next(rows)
                spans, null = _spans(question, window, starts, ends)
                nothing = min(nothing, null)
                for key, (score, span) in spans.items():
                    if key not in found or found[key][0] < score:
                        found[key] = (score, span)
            results.append(self._result(question.context, found, nothing))
        return results

    def _result(
        self, context: str, found: Mapping[str, tuple[float, _Span]], nothing: float
    ) -> Result:
        score, (start, end) = max(found.values(), key=lambda answer: answer[0])
        if self._no_answer and nothing > score:
            score, start, end = nothing, 0, 0
        return {
            "answer": context[start:end],
            "score": score,
            "start": start,
            "end": end,
            "no_answer_score": nothing,
        }


def _checked(item: Item, number: int) -> tuple[str, str]:
    if not isinstance(item, Mapping) or not all(isinstance(item.get(f), str) for f in FIELDS):
        raise InputError(
            f"question {number} is {item!r}",
            expected='an object {"question": "...", "context": "..."}',
        )
    for field in FIELDS:
        if not item[field].strip():
            raise InputError(f"question {number} has an empty {field}", expected="some text")
    return item["question"], item["context"]


def _windows(questions: Sequence[_Question]) -> Iterator[tuple[_Question, tuple[int, int]]]:
    return ((question, window) for question in questions for window in question.windows)


def _positions(question: _Question, window: tuple[int, int]) -> Iterator[int]:
    """The tokens of a window: what stands before the context, a part of it, what stands behind."""
    last = question.windows[-1][1]
    yield from range(question.first)
    yield from range(*window)
    yield from range(last, len(question.encoding.ids))


def _spans(
    question: _Question, window: tuple[int, int], starts: Array, ends: Array
) -> tuple[dict[str, tuple[float, _Span]], float]:
    """Answers of a window by their text, and the probability that it holds none."""
    first, length = question.first, window[1] - window[0]
    # Where a special token comes first, it stands for "no answer".
    has_null = question.encoding.special_tokens_mask[0] == 1
    begin = _probabilities(starts, first, length, has_null=has_null)
    finish = _probabilities(ends, first, length, has_null=has_null)
    null = begin[0] * finish[0] if has_null else 0.0
    products = np.outer(begin[1:], finish[1:])
    products = np.tril(np.triu(products), LONGEST_ANSWER - 1)
    flat = products.reshape(-1)
    count = min(CANDIDATES, flat.size)
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    found: dict[str, tuple[float, _Span]] = {}
    for index in best.tolist():
        start, end = divmod(index, length)
        if end < start:  # fewer spans than candidates
            continue
        span = _characters(question.encoding, window[0] + start, window[0] + end)
        key = question.context[slice(*span)].lower()
        known = found.get(key, (0.0, span))
        found[key] = (known[0] + float(flat[index]), known[1])
    return found, float(null)


def _probabilities(logits: Array, first: int, length: int, *, has_null: bool) -> Array:
    """float64[1 + length]: of the first token of all, and of the context's tokens."""
    kept = np.concatenate([logits[:1] if has_null else [_MASKED], logits[first : first + length]])
    powers = np.exp(kept.astype(np.float64) - kept.max())
    return np.asarray(powers / powers.sum())


def _characters(encoding: Encoding, start: int, end: int) -> _Span:
    """Whole words from one token to another, or the tokens alone where there are no words."""
    first, last = encoding.token_to_word(start), encoding.token_to_word(end)
    if first is not None and last is not None:
        begin, finish = encoding.word_to_chars(first, 1), encoding.word_to_chars(last, 1)
        if begin is not None and finish is not None:
            return begin[0], finish[1]
    return encoding.offsets[start][0], encoding.offsets[end][1]
