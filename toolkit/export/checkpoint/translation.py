"""Encoder-decoders of texts: translation, summaries and whatever else becomes another text."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.export.checkpoint.sequences import (
    BATCHES,
    LENGTHS,
    SOURCE,
    EncoderInput,
    parts,
)
from toolkit.export.checkpoint.texts import TEXTS
from toolkit.export.checkpoint.tokenizers import vocabulary_size, write_tokenizer
from toolkit.export.feeds import Sizes
from toolkit.export.parts import TorchSource
from toolkit.tasks import GenerationSpec, LogitSpec, TaskSpec
from toolkit.tensors import Array

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from toolkit.export.checkpoint import Opened

_INPUTS = ("input_ids", "attention_mask")
_REFERENCE_TEXTS, _REFERENCE_TOKENS = 4, 24
_ROOM = 512
"""Tokens of an answer where the model has relative positions, and so no limit of its own."""


def build(opened: Opened) -> TorchSource:
    """The modules of an encoder-decoder, its task, tokenizer and reference.

    Raises:
        InputError: The checkpoint does not say which token its decoder begins with.
    """
    preprocessing = opened.work / "preprocessing"
    tokenizer, text = write_tokenizer(opened, preprocessing)
    start, room = start_id(opened), room_of(opened.config)
    items = list(TEXTS[:_REFERENCE_TEXTS])
    sizes = {(batch, min(length, text.max_length)) for batch in BATCHES for length in LENGTHS}
    given = EncoderInput(
        make=partial(_feeds, vocabulary=vocabulary_size(opened.config), pad_id=text.pad_id),
        reference=_encoded(tokenizer, items, min(text.max_length, _REFERENCE_TOKENS), text.pad_id),
        dimensions={name: {0: "batch", 1: SOURCE} for name in _INPUTS},
        traced={"batch": 2, SOURCE: 7},
        compared=tuple({"batch": b, SOURCE: s} for b, s in sorted(sizes)),
        is_masked=True,
    )
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=parts(opened, given, start=start, room=room),
        task=TaskSpec(
            name=opened.task,
            output="logits",
            text=text,
            generation=GenerationSpec(
                max_context=room,
                end_ids=end_ids(opened),
                start_ids=(start,),
                logits=logit_rules(opened, prompt=1),
            ),
        ),
        exporters=("transformers", "torch"),
        preprocessing=preprocessing,
        items=items,
        path=opened.files.path,
    )


def start_id(opened: Opened) -> int:
    """The token that the decoder begins with.

    Raises:
        InputError: The checkpoint does not say.
    """
    for config in (opened.model.generation_config, opened.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            found = getattr(config, name, None)
            if isinstance(found, int):
                return found
    raise InputError(
        f"{opened.files.path} does not say which token its decoder begins with",
        expected="decoder_start_token_id in generation_config.json or config.json",
    )


def end_ids(opened: Opened) -> tuple[int, ...]:
    """Tokens that end an answer."""
    for config in (opened.model.generation_config, opened.config):
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return (ids,) if isinstance(ids, int) else tuple(ids)
    return ()


def room_of(config: Any) -> int:
    """Tokens that the decoder has positions for."""
    for name in ("max_target_positions", "max_position_embeddings"):
        positions = getattr(config, name, None)
        if positions and positions > 0:
            return int(positions)
    return _ROOM


def logit_rules(opened: Opened, *, prompt: int) -> LogitSpec:
    """What the generation configuration forbids and forces, as far as it concerns greedy search.

    Args:
        opened: The checkpoint.
        prompt: Tokens that the decoder begins with: transformers counts them.
    """
    config = opened.model.generation_config
    sequences = getattr(config, "bad_words_ids", None) or ()
    fewest = (getattr(config, "min_length", None) or 0) - prompt
    return LogitSpec(
        never=tuple(
            sorted(
                {ids[0] for ids in sequences if len(ids) == 1}
                | set(getattr(config, "suppress_tokens", None) or ())
            )
        ),
        not_first=tuple(getattr(config, "begin_suppress_tokens", None) or ()),
        first=getattr(config, "forced_bos_token_id", None),
        last=_single(getattr(config, "forced_eos_token_id", None)),
        fewest=max(0, fewest, getattr(config, "min_new_tokens", None) or 0),
        no_repeat=getattr(config, "no_repeat_ngram_size", None) or 0,
    )


def _single(ids: list[int] | int | None) -> int | None:
    return int(ids[0]) if isinstance(ids, list) else ids


def _encoded(tokenizer: Tokenizer, items: list[str], longest: int, pad_id: int) -> dict[str, Array]:
    """int64[batch, encoder sequence] an input, padded on the right."""
    tokenizer.enable_truncation(longest)
    tokenizer.enable_padding(pad_id=pad_id)
    encodings = tokenizer.encode_batch(items)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
    }


def _feeds(sizes: Sizes, seed: int, *, vocabulary: int, pad_id: int) -> dict[str, Array]:
    """Random tokens, padded by turns on the left and on the right."""
    rng = np.random.default_rng(seed)
    shape = (sizes["batch"], sizes[SOURCE])
    ids = rng.integers(0, vocabulary, shape)
    mask = np.ones(shape, np.int64)
    for row in range(shape[0]):
        padding = int(rng.integers(0, shape[1] // 2 + 1))
        if padding:
            mask[row, slice(-padding, None) if row % 2 else slice(None, padding)] = 0
    ids[mask == 0] = pad_id
    return {"input_ids": ids, "attention_mask": mask}
