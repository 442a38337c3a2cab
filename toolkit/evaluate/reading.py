"""A language model reads texts: what it holds likely at every place of them."""

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.samples import Samples
from toolkit.evaluate.tokens import IGNORED, TOKEN, token_answers
from toolkit.inference import Model
from toolkit.runtime import Session
from toolkit.tasks.prompt import DecoderFeeds
from toolkit.tasks.sequence import PAST, PRESENT
from toolkit.tensors import Array

READ_TOKENS = 256
"""Tokens of each text that are read, from its beginning."""


def read_texts(model: Model, samples: Samples, *, batch_size: int) -> Array:
    """The answers of a language model for every place of every text but the first.

    Args:
        model: It takes prompts.
        samples: Texts.
        batch_size: Texts in one run.

    Returns:
        TOKEN[places], in the order of the texts.

    Raises:
        InputError: No text has two tokens.
    """
    found: list[Array] = []
    for start in range(0, len(samples), batch_size):
        items = samples.items[start : start + batch_size]
        feeds = model.task.encode(items, range(start + 1, start + 1 + len(items)))
        ids, mask = _cut(feeds["input_ids"], feeds["attention_mask"])
        logits = model.session.run(_first(feeds, ids, mask))["logits"]
        targets = np.full_like(ids, IGNORED)
        # A place counts where a token stands and another one behind it.
        both = (mask[:, :-1] == 1) & (mask[:, 1:] == 1)
        targets[:, :-1] = np.where(both, ids[:, 1:], IGNORED)
        found.append(token_answers(logits, targets, first_text=start))
    answers = np.concatenate([np.empty(0, TOKEN), *found])
    if not len(answers):
        raise InputError("no text has two tokens", expected="texts of some words")
    return answers


def next_step(session: Session, first: dict[str, Array]) -> dict[str, Array]:
    """The feeds of the step behind a first one: the likeliest token, and the cache.

    Args:
        session: A decoder.
        first: The feeds of a first step.
    """
    outputs = session.run(first)
    feeds = DecoderFeeds(session.inputs)
    mask = first["attention_mask"]
    ids = outputs["logits"][:, -1:].argmax(axis=-1).astype(np.int64)
    cache = {name: outputs[name.replace(PAST, PRESENT, 1)] for name in feeds.past}
    return feeds.make(ids, np.concatenate([mask, np.ones_like(ids)], axis=1), cache)


def _cut(ids: Array, mask: Array) -> tuple[Array, Array]:
    """The first `READ_TOKENS` tokens of every row, padded on the left as before."""
    lengths = mask.sum(axis=1)
    longest = min(int(lengths.max()), READ_TOKENS)
    cut_ids = np.full((len(ids), longest), ids[0, 0], ids.dtype)
    cut_mask = np.zeros_like(cut_ids)
    for row, length in enumerate(np.minimum(lengths, longest)):
        begin = ids.shape[1] - int(lengths[row])
        cut_ids[row, longest - length :] = ids[row, begin : begin + length]
        cut_mask[row, longest - length :] = 1
    return cut_ids, cut_mask


def _first(feeds: dict[str, Array], ids: Array, mask: Array) -> dict[str, Array]:
    """The feeds of a first step with other tokens."""
    made = {**feeds, "input_ids": ids, "attention_mask": mask}
    if "position_ids" in feeds:
        made["position_ids"] = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return made
