"""What a model forbids or forces while it makes a text."""

from collections.abc import Sequence

import numpy as np

from toolkit.generation.loop import Ending, LogitRule
from toolkit.generation.options import GenerationOptions
from toolkit.tasks import LogitSpec
from toolkit.tensors import Array


def logit_rules(
    specification: LogitSpec,
    prompt: Sequence[int],
    *,
    ending: Ending,
    options: GenerationOptions,
) -> tuple[LogitRule, ...]:
    """The rules of one answer, in the order in which transformers applies them.

    Args:
        specification: What is forbidden and forced.
        prompt: The tokens that the decoder begins with.
        ending: When the answer is at its end.
        options: What the user chose: the most tokens.
    """
    most = min(options.max_new_tokens, ending.room - len(prompt))
    rules: list[LogitRule] = []
    if specification.no_repeat:
        rules.append(_once(specification.no_repeat, list(prompt)))
    if specification.never:
        rules.append(_without(specification.never))
    if specification.fewest:
        rules.append(_without(ending.end_ids, before=specification.fewest))
    if specification.first is not None:
        rules.append(_only(specification.first, at=0))
    if specification.last is not None:
        rules.append(_only(specification.last, at=most - 1))
    if specification.not_first:
        # The token that is forced counts as a part of the prompt.
        first = 0 if specification.first is None else 1
        rules.append(_without(specification.not_first, after=first, before=first + 1))
    return tuple(rules)


def _without(ids: Sequence[int], *, after: int = 0, before: int | None = None) -> LogitRule:
    """Forbid tokens while the answer has at least `after` and fewer than `before` tokens."""
    forbidden = np.array(ids, np.int64)

    def rule(logits: Array, tokens: Sequence[int]) -> Array:
        if len(tokens) < after or (before is not None and len(tokens) >= before):
            return logits
        return _masked(logits, forbidden)

    return rule


def _only(token: int, *, at: int) -> LogitRule:
    """Force a token at one place of the answer."""

    def rule(logits: Array, tokens: Sequence[int]) -> Array:
        if len(tokens) != at:
            return logits
        forced = np.full_like(logits, -np.inf)
        forced[token] = 0
        return forced

    return rule


def _once(length: int, prompt: list[int]) -> LogitRule:
    """Forbid what would make a sequence of this length stand in the text twice."""

    def rule(logits: Array, tokens: Sequence[int]) -> Array:
        text = [*prompt, *tokens]
        if len(text) + 1 < length:
            return logits
        last = text[len(text) - length + 1 :]
        found = [
            text[start + length - 1]
            for start in range(len(text) - length + 1)
            if text[start : start + length - 1] == last
        ]
        return _masked(logits, np.array(found, np.int64)) if found else logits

    return rule


def _masked(logits: Array, ids: Array) -> Array:
    masked = logits.copy()
    masked[ids] = -np.inf
    return masked
