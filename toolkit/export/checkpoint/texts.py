"""Encoders of texts: classification of texts and tokens, answers, masked words, embeddings."""

from __future__ import annotations

import inspect
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.export.checkpoint.modules import Embedding, Head, Named
from toolkit.export.checkpoint.tokenizers import vocabulary_size, write_tokenizer
from toolkit.export.feeds import Sizes
from toolkit.export.parts import Shapes, TorchPart, TorchSource
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from toolkit.export.checkpoint import Opened

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS = {
    "text-classification": ("logits",),
    "token-classification": ("logits",),
    "question-answering": ("start_logits", "end_logits"),
    "fill-mask": ("logits",),
    "feature-extraction": ("last_hidden_state",),
}
_BATCHES, _LENGTHS = (1, 3, 8), (4, 17, 128)

TEXTS = (
    "A gorgeous, witty film.",
    "I left the cinema after twenty minutes and have not regretted it once.",
    "Anna Schmidt moved from Lisbon to Toronto in 2019 to work for the Red Cross.",
    "Dull.",
    "The plot makes no sense and the acting is wooden, yet one forgives it: what an ending!",
    "Why does anyone make a sequel to a story that was finished?",
    "It's fine: nothing more, nothing less - 6/10.",
    "La fotografía es magnífica, aunque el guion se pierde.",
)
"""What a text model's reference answers are computed for."""


def build(opened: Opened) -> TorchSource:
    """The module of a text encoder, its task, tokenizer and reference."""
    preprocessing = opened.work / "preprocessing"
    tokenizer, text = write_tokenizer(opened, preprocessing)
    inputs = _inputs(opened)
    module = _module(opened, inputs)
    items = list(TEXTS)
    task = _task(opened, text, module)
    make = partial(
        _feeds,
        inputs=inputs,
        vocabulary=vocabulary_size(opened.config),
        types=int(getattr(opened.config, "type_vocab_size", 0) or 0),
        pad_id=text.pad_id,
    )
    sizes = {(batch, min(length, text.max_length)) for batch in _BATCHES for length in _LENGTHS}
    part = TorchPart(
        module=module,
        feeds=_encoded(tokenizer, items, inputs, text.max_length, text.pad_id),
        dimensions={name: {0: "batch", 1: "sequence"} for name in inputs},
        shapes=Shapes(
            traced={"batch": 2, "sequence": 7},
            compared=tuple({"batch": b, "sequence": s} for b, s in sorted(sizes)),
            make=make,
        ),
    )
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=(part,),
        task=task,
        exporters=("transformers", "torch", "optimum"),
        preprocessing=preprocessing,
        items=items,
        path=opened.files.path,
    )


def _inputs(opened: Opened) -> tuple[str, ...]:
    """What the model's forward takes of what a tokenizer makes."""
    taken = inspect.signature(opened.model.forward).parameters
    has_types = (getattr(opened.config, "type_vocab_size", 0) or 0) > 1
    return tuple(
        name for name in _INPUTS if name in taken and (name != "token_type_ids" or has_types)
    )


def _module(opened: Opened, inputs: tuple[str, ...]) -> Named:
    if opened.task == "feature-extraction":
        pooling, normalize = _pooling(opened)
        if pooling != "none":
            return Embedding(opened.model, inputs, pooling=pooling, normalize=normalize)
    return Head(opened.model, inputs, _OUTPUTS[opened.task])


def _pooling(opened: Opened) -> tuple[str, bool]:
    """How token states become an embedding, and whether it is normalized.

    sentence-transformers writes both down beside the model (`modules.json`, `1_Pooling`).
    """
    file = opened.files.path / "1_Pooling" / "config.json"
    modules = opened.files.path / "modules.json"
    normalize = modules.is_file() and "Normalize" in modules.read_text(encoding="utf-8")
    if opened.options.pooling is not None:
        return opened.options.pooling, normalize
    if not file.is_file():
        return "mean", normalize
    said = json.loads(file.read_text(encoding="utf-8"))
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    chosen = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
    if len(chosen) != 1 or chosen[0] not in known:
        raise InputError(
            f"{file} asks for {' and '.join(chosen) or 'no pooling'}",
            expected=" or ".join(known),
            fix="--pooling mean|cls|pooler|none",
        )
    return known[chosen[0]], normalize


def _task(opened: Opened, text: Any, module: Named) -> TaskSpec:
    if opened.task == "feature-extraction":
        output = "last_hidden_state" if isinstance(module, Head) else "embedding"
        return TaskSpec(name=opened.task, output=output, text=text)
    labels: tuple[str, ...] = ()
    if opened.task in {"text-classification", "token-classification"}:
        named = opened.config.id2label
        labels = tuple(str(named[i]) for i in range(len(named)))
    sigmoid = opened.task == "text-classification" and (
        opened.config.problem_type == "multi_label_classification" or len(labels) == 1
    )
    return TaskSpec(
        name=opened.task,
        labels=labels,
        output=_OUTPUTS[opened.task][0],
        activation="sigmoid" if sigmoid else "softmax",
        text=text,
    )


def _encoded(
    tokenizer: Tokenizer, items: list[Any], inputs: tuple[str, ...], longest: int, pad_id: int
) -> dict[str, Array]:
    """int64[batch, sequence] an input, padded on the right, as `infer` will make them."""
    tokenizer.enable_truncation(min(longest, 64))
    tokenizer.enable_padding(pad_id=pad_id)
    encodings = tokenizer.encode_batch(items)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    values = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    return {name: np.array(values[name], np.int64) for name in inputs}


def _feeds(
    sizes: Sizes, seed: int, *, inputs: tuple[str, ...], vocabulary: int, types: int, pad_id: int
) -> dict[str, Array]:
    """Random tokens, padded by turns on the right and on the left."""
    rng = np.random.default_rng(seed)
    shape = (sizes["batch"], sizes["sequence"])
    ids = rng.integers(0, vocabulary, shape)
    mask = np.ones(shape, np.int64)
    for row in range(shape[0]):
        padding = int(rng.integers(0, shape[1] // 2 + 1))
        if padding:
            mask[row, slice(-padding, None) if row % 2 else slice(None, padding)] = 0
    ids[mask == 0] = pad_id
    made = {"input_ids": ids, "attention_mask": mask}
    if "token_type_ids" in inputs:
        made["token_type_ids"] = rng.integers(0, types, shape)
    return {name: made[name] for name in inputs}
