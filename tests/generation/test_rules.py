"""Rules on logits against transformers' own processors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from toolkit.generation import Ending, GenerationOptions
from toolkit.generation.rules import logit_rules
from toolkit.tasks import LogitSpec
from toolkit.tensors import Array

PROMPT = [2]
END, MOST, VOCABULARY = 7, 6, 10
TEXTS: tuple[list[int], ...] = ([], [1], [1, 3], [1, 3, 2], [1, 3, 1], [1, 3, 1, 3, 1], [5, 5, 5])


def _ours(specification: LogitSpec, tokens: Sequence[int], logits: Array) -> Array:
    ending = Ending(end_ids=(END,), room=100)
    options = GenerationOptions(max_new_tokens=MOST)
    for rule in logit_rules(specification, PROMPT, ending=ending, options=options):
        logits = rule(logits, tokens)
    return logits


def _processors() -> dict[str, tuple[LogitSpec, Any]]:
    return {
        "never": (LogitSpec(never=(3, 4)), SuppressTokensLogitsProcessor([3, 4])),
        "not first": (
            LogitSpec(not_first=(1, 5)),
            SuppressTokensAtBeginLogitsProcessor([1, 5], len(PROMPT)),
        ),
        "first": (LogitSpec(first=6), ForcedBOSTokenLogitsProcessor(6)),
        "last": (LogitSpec(last=END), ForcedEOSTokenLogitsProcessor(len(PROMPT) + MOST, END)),
        "fewest": (LogitSpec(fewest=3), MinLengthLogitsProcessor(len(PROMPT) + 3, END)),
        "pairs once": (LogitSpec(no_repeat=2), NoRepeatNGramLogitsProcessor(2)),
        "triples once": (LogitSpec(no_repeat=3), NoRepeatNGramLogitsProcessor(3)),
        "tokens once": (LogitSpec(no_repeat=1), NoRepeatNGramLogitsProcessor(1)),
    }


@pytest.mark.parametrize("name", [*_processors()])
@pytest.mark.parametrize("tokens", TEXTS, ids=str)
def test_a_rule_is_what_transformers_does(name: str, tokens: list[int]) -> None:
    specification, processor = _processors()[name]
    logits = np.random.default_rng(0).standard_normal(VOCABULARY).astype(np.float32)
    before = logits.copy()
    found = _ours(specification, tokens, logits)
    wanted = processor(torch.tensor([PROMPT + tokens]), torch.from_numpy(logits.copy())[None])[0]
    np.testing.assert_array_equal(found, wanted.numpy())
    np.testing.assert_array_equal(logits, before)


def test_a_rule_that_applies_changes_something() -> None:
    logits = np.zeros(VOCABULARY, np.float32)
    assert np.isinf(_ours(LogitSpec(no_repeat=2), [1, 3, 1], logits)).nonzero()[0].tolist() == [3]
    assert _ours(LogitSpec(first=6), [], logits).argmax() == 6
    assert _ours(LogitSpec(last=END), [1] * (MOST - 1), logits).argmax() == END


def test_what_is_not_first_counts_behind_a_forced_token() -> None:
    specification = LogitSpec(first=6, not_first=(1,))
    logits = np.zeros(VOCABULARY, np.float32)
    assert np.isfinite(_ours(specification, [6, 2], logits)).all()
    assert np.isinf(_ours(specification, [6], logits)).nonzero()[0].tolist() == [1]
