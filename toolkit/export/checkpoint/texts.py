"""Encoders of texts: classification of texts and tokens, answers, masked words, embeddings."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from toolkit.errors import InputError, ToolkitWarning
from toolkit.export.checkpoint.files import CONFIG
from toolkit.export.checkpoint.modules import EMBEDDING, Embedding, Head, Named
from toolkit.export.checkpoint.pooling import pooling_of
from toolkit.export.checkpoint.tokenizers import mask_token, vocabulary_size, write_tokenizer
from toolkit.export.feeds import Sizes
from toolkit.export.parts import EXPORTERS, ExporterName, Shapes, TorchPart, TorchSource
from toolkit.tasks import Item, TaskSpec, TextSpec, open_task
from toolkit.tasks.task import STATES
from toolkit.tensors import Array, TensorSpec

if TYPE_CHECKING:
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

_TRACED = {"bert", "deberta-v2", "distilbert", "mobilebert", "mpnet", "roberta"}
"""Architectures that TorchScript traces whole (docs/compatibility.md): it is asked first, being the
fastest by far. ModernBERT is none of them, as its local attention would be frozen."""

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
PAIRS = (
    ("A gorgeous, witty film.", "The film is dull."),
    ("Anna Schmidt moved from Lisbon to Toronto.", "Anna Schmidt lives in Canada."),
)
"""Further ones, for models that tell two texts apart."""
QUESTIONS = (
    {"question": "Where does Anna work?", "context": TEXTS[2]},
    {"question": "How long did I stay?", "context": TEXTS[1]},
    {"question": "What is magnificent?", "context": f"{TEXTS[4]} {TEXTS[7]}"},
    {"question": "Who made the film?", "context": " ".join(TEXTS)},
)
_ANSWERS = 384
"""Tokens of a window of a long context, as the pipeline of transformers has them."""
_SHARED = 128
"""Tokens that two windows share at most, as there."""


def build(opened: Opened) -> TorchSource:
    """The module of a text encoder, its task, tokenizer and reference."""
    inputs = _inputs(opened)
    preprocessing = opened.work / "preprocessing"
    tokenizer, text = write_tokenizer(opened, preprocessing)
    if opened.config.get_text_config().pad_token_id is None:
        # Decoders that classify look for the last token before the padding.
        opened.model.config.get_text_config().pad_token_id = text.pad_id
    pooling, normalize = pooling_of(opened) if _is_embedding(opened) else ("none", False)
    module = _module(opened, inputs, pooling, normalize=normalize)
    if opened.task == "question-answering":
        length = opened.options.max_length or min(text.max_length, _ANSWERS)
        text = replace(text, max_length=length, stride=min(length // 2, _SHARED))
    if opened.task == "fill-mask":
        text = replace(text, mask_token=mask_token(opened, tokenizer))
    task = _task(opened, text, pooled=pooling != "none")
    items = _items(opened, text, inputs)
    specs = [TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolkitWarning)  # a reference text may be a long one
        feeds = open_task(task, preprocessing, specs).encode(items)
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
        feeds=feeds,
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
        exporters=_exporters(opened.config.model_type),
        preprocessing=preprocessing,
        items=items,
        path=opened.files.path,
    )


def _exporters(kind: str) -> tuple[ExporterName, ...]:
    """Those that can take the architecture, in the order in which they are tried."""
    if kind in _TRACED:
        return EXPORTERS
    return ("transformers", "torch", "torchscript", "optimum")


def _inputs(opened: Opened) -> tuple[str, ...]:
    """What the model's forward takes of what a tokenizer makes.

    Raises:
        InputError: It takes none of it: images or sounds, of which no features are exported.
    """
    taken = inspect.signature(opened.model.forward).parameters
    if _INPUTS[0] not in taken:
        raise InputError(
            f"{opened.files.path / CONFIG}: {type(opened.model).__name__} takes "
            f"{opened.model.main_input_name}, and {opened.task} is for texts",
            expected="a model of texts, or one of images or sounds with a head",
            fix="toolkit export MODULE:CALLABLE -o PKG        (any module, tensors in and out)",
        )
    has_types = (getattr(opened.config, "type_vocab_size", 0) or 0) > 1
    return tuple(
        name for name in _INPUTS if name in taken and (name != "token_type_ids" or has_types)
    )


def _is_embedding(opened: Opened) -> bool:
    return opened.task == "feature-extraction"


def _module(opened: Opened, inputs: tuple[str, ...], pooling: str, *, normalize: bool) -> Named:
    if _is_embedding(opened) and pooling != "none":
        return Embedding(opened.model, inputs, pooling=pooling, normalize=normalize)
    return Head(opened.model, inputs, _OUTPUTS[opened.task])


def _items(opened: Opened, text: TextSpec, inputs: tuple[str, ...]) -> list[Item]:
    """The reference inputs before preprocessing."""
    if opened.task == "question-answering":
        return [*QUESTIONS]
    if opened.task == "fill-mask":
        # First, where no limit of tokens cuts it off.
        return [f"{text.mask_token} film: {item}" for item in TEXTS]
    if opened.task == "text-classification" and "token_type_ids" in inputs:
        return [*TEXTS, *PAIRS]
    return [*TEXTS]


def _task(opened: Opened, text: TextSpec, *, pooled: bool) -> TaskSpec:
    """What the pipeline of transformers makes of the configuration."""
    if _is_embedding(opened):
        output = EMBEDDING if pooled else STATES
        return TaskSpec(name=opened.task, output=output, text=text)
    output = _OUTPUTS[opened.task][0]
    labels: tuple[str, ...] = ()
    if opened.task in {"text-classification", "token-classification"}:
        named = opened.config.id2label
        labels = tuple(str(named[i]) for i in range(len(named)))
    problem = getattr(opened.config, "problem_type", None)
    if opened.task == "text-classification" and problem == "regression":
        kept = labels if len(labels) > 1 else ()
        return TaskSpec(name=opened.task, labels=kept, output=output, text=text)
    several = opened.task == "text-classification" and (
        problem == "multi_label_classification" or len(labels) == 1
    )
    return TaskSpec(
        name=opened.task,
        labels=labels,
        output=output,
        activation="sigmoid" if several else "softmax",
        multi_label=several,
        text=text,
    )


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
