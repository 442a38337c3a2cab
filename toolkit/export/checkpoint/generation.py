"""Decoders with a cache of keys and values, as one graph."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from toolkit.errors import InputError
from toolkit.export.checkpoint.chat import chat_around
from toolkit.export.checkpoint.files import CONFIG
from toolkit.export.checkpoint.modules import Named
from toolkit.export.checkpoint.texts import TEXTS
from toolkit.export.checkpoint.tokenizers import longest_text, vocabulary_size, write_tokenizer
from toolkit.export.feeds import Dimensions, Sizes
from toolkit.export.parts import Shapes, TorchPart, TorchSource
from toolkit.export.torch_graph import argument, run_module
from toolkit.tasks import GenerationSpec, TaskSpec
from toolkit.tasks.prompt import DecoderFeeds
from toolkit.tasks.sequence import PAST, PRESENT, cache_names
from toolkit.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from toolkit.export.checkpoint import Opened

TOTAL = "past + sequence"
_BATCHES, _LENGTHS = (1, 3, 8), (4, 17, 128)
_STEPS = ((1, 17, 1), (3, 4, 4), (8, 17, 1), (3, 128, 1), (1, 4, 17))
"""Batch, tokens in the cache and new ones, at which a step behind others is compared."""
_REFERENCE_TOKENS = 16
"""Most tokens of each reference text: half of them stand in the cache."""
_USUAL = 10.0
"""Logits up to which the tolerance is the usual one. Those of SmolLM2-135M reach 34; at float32 its
graph and PyTorch then differ by 2e-4 at a batch of 3 x 128 tokens."""
_FEWEST = 8
"""Tokens of a text that is taken for the reference, if there is one of as many."""


class CachedDecoder(Named):
    """New tokens after those whose keys and values are in the cache, which may be empty.

    Every layer keeps all keys and values, those with a sliding window too: the mask leaves out
    what lies before the window, as transformers' does.

    Args:
        model: transformers' decoder with a language-modeling head.
        layers: Its layers.
        is_placed: Whether its forward takes `position_ids`.
    """

    def __init__(self, model: nn.Module, *, layers: int, is_placed: bool) -> None:
        self._past = cache_names(PAST, layers)
        self._present = cache_names(PRESENT, layers)
        placed = ("position_ids",) if is_placed else ()
        super().__init__(model, ("input_ids", "attention_mask", *placed, *self._past))

    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """{"logits": float32[batch, sequence, vocabulary], present.N.key|value: float32[...]}."""
        past = [feeds.pop(argument(name)) for name in self._past]
        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(past[::2], past[1::2], strict=True)):
            cache.update(key, value, layer)
        returned = self.model(**feeds, past_key_values=cache, use_cache=True, return_dict=True)
        layers = returned.past_key_values.layers
        present = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
        return {"logits": returned.logits, **dict(zip(self._present, present, strict=True))}


def build(opened: Opened) -> TorchSource:
    """The module of a decoder, its task, tokenizer and reference.

    Raises:
        InputError: The model keeps something other than keys and values between its steps.
    """
    preprocessing = opened.work / "preprocessing"
    tokenizer, text = write_tokenizer(opened, preprocessing)
    room = longest_text(opened)
    try:
        part = decoder_part(opened.model, tokenizer, TEXTS, room=room, pad_id=text.pad_id)
    except InputError as error:
        kind = f"model_type {opened.config.model_type!r}"
        raise InputError(
            f"{opened.files.path / CONFIG} ({kind}): {error.problem}", expected=error.expected
        ) from error
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=(part,),
        task=TaskSpec(
            name=opened.task,
            output="logits",
            text=text,
            generation=GenerationSpec(
                max_context=room,
                end_ids=_end_ids(opened),
                start_ids=_start_ids(opened),
                chat=chat_around(opened),
            ),
        ),
        exporters=("transformers", "torch", "optimum"),
        preprocessing=preprocessing,
        items=list(TEXTS),
        path=opened.files.path,
    )


def decoder_part(
    model: Any, tokenizer: Tokenizer, texts: Sequence[str], *, room: int, pad_id: int
) -> TorchPart:
    """A decoder with its reference and the sizes to compare it at.

    Args:
        model: One of transformers' decoders with a language-modeling head.
        tokenizer: Without padding and truncation.
        texts: What the reference answers are computed for.
        room: Tokens that it has positions for.
        pad_id: The token that fills shorter texts.

    Raises:
        InputError: The model keeps something other than keys and values between its steps.
    """
    shapes = _cache_shapes(model)
    is_placed = "position_ids" in inspect.signature(model.forward).parameters
    module = CachedDecoder(model, layers=len(shapes), is_placed=is_placed)
    vocabulary = vocabulary_size(model.config)
    maker = _Maker(module, shapes, vocabulary, is_placed=is_placed, pad_id=pad_id)
    feeds = _reference(tokenizer, texts, maker)
    largest = np.abs(run_module(module.eval(), feeds, output_names=())["logits"]).max()
    return TorchPart(
        module=module,
        feeds=feeds,
        dimensions=dimensions(len(shapes), is_placed=is_placed),
        shapes=Shapes(
            traced={"batch": 2, "sequence": 3, "past": 5},
            compared=_sizes(room),
            make=maker.feeds,
        ),
        read=_without_padding,
        scale=max(1.0, float(largest) / _USUAL),
    )


def dimensions(layers: int, *, is_placed: bool) -> Dimensions:
    """The symbolic dimensions of a decoder's inputs."""
    placed = {"position_ids": {0: "batch", 1: "sequence"}} if is_placed else {}
    return {
        "input_ids": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: TOTAL},
        **placed,
        **{name: {0: "batch", 2: "past"} for name in cache_names(PAST, layers)},
    }


class _Maker:
    """Makes a decoder's feeds.

    Args:
        module: What the feeds are for, which makes its own keys and values.
        shapes: Heads and width of the keys and values, by layer.
        vocabulary: Token ids are below it.
        is_placed: Whether there are `position_ids`.
        pad_id: The token that fills a row on the left.
    """

    def __init__(
        self,
        module: CachedDecoder,
        shapes: Sequence[tuple[int, int]],
        vocabulary: int,
        *,
        is_placed: bool,
        pad_id: int,
    ) -> None:
        self._module = module
        names = cache_names(PAST, len(shapes))
        self._shapes = {name: shapes[number // 2] for number, name in enumerate(names)}
        self._vocabulary = vocabulary
        self._pad_id = pad_id
        plain = ("input_ids", "attention_mask", *(("position_ids",) if is_placed else ()))
        tokens = [TensorSpec(name=n, dtype="int64", shape=("batch", "sequence")) for n in plain]
        caches = [
            TensorSpec(name=name, dtype="float32", shape=("batch", heads, "past", width))
            for name, (heads, width) in self._shapes.items()
        ]
        self._step = DecoderFeeds([*tokens, *caches])

    def feeds(self, sizes: Sizes, seed: int) -> dict[str, Array]:
        """Random tokens behind others; every second row is padded on the left."""
        rng = np.random.default_rng(seed)
        batch, sequence, past = sizes["batch"], sizes["sequence"], sizes["past"]
        ids = rng.integers(0, self._vocabulary, (batch, past + sequence))
        mask = np.ones_like(ids)
        for row in range(1, batch, 2):
            mask[row, : int(rng.integers(1, max(2, (past + sequence) // 2)))] = 0
        ids[mask == 0] = self._pad_id
        return self.behind(ids, mask, past)

    def behind(self, ids: Array, mask: Array, past: int) -> dict[str, Array]:
        """Feeds of the last tokens, behind the keys and values that the module makes of the rest.

        Args:
            ids: int64[batch, past + sequence].
            mask: The same shape, 0 for padding.
            past: How many tokens stand in the cache.
        """
        cache = self._step.empty(len(ids))
        if past:
            first = self._step.make(ids[:, :past], mask[:, :past], cache)
            outputs = run_module(self._module.eval(), first, output_names=())
            cache = {name: outputs[name.replace(PAST, PRESENT, 1)] for name in cache}
        return self._step.make(ids[:, past:], mask, cache)


def _without_padding(feeds: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs with 0 where there is padding: no token attends to it, and nobody reads it."""
    mask = feeds["attention_mask"].astype(np.float32)
    new = mask[:, mask.shape[1] - feeds["input_ids"].shape[1] :]
    return {
        name: value * (new[:, :, None] if name == "logits" else mask[:, None, :, None])
        for name, value in outputs.items()
    }


def _reference(tokenizer: Tokenizer, texts: Sequence[str], maker: _Maker) -> dict[str, Array]:
    """The second half of real texts, behind the keys and values of the first; no padding."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    enough = [ids for ids in encoded if len(ids) >= _FEWEST] or encoded
    length = min(_REFERENCE_TOKENS, *map(len, enough))
    ids = np.array([ids[:length] for ids in enough], np.int64)
    return maker.behind(ids, np.ones_like(ids), length // 2)


def _sizes(room: int) -> tuple[Sizes, ...]:
    lengths = sorted({min(length, room) for length in _LENGTHS})
    prompts = [{"batch": b, "sequence": s, "past": 0} for b in _BATCHES for s in lengths]
    steps = [
        {"batch": batch, "sequence": new, "past": min(past, room - new)}
        for batch, past, new in _STEPS
        if new < room
    ]
    return (*prompts, *steps)


def _cache_shapes(model: Any) -> list[tuple[int, int]]:
    """Heads and width of the keys and values, by layer, as the model itself makes them."""
    start = torch.zeros((1, 2), dtype=torch.long)
    with torch.no_grad():
        returned = model.eval()(
            input_ids=start, past_key_values=DynamicCache(), use_cache=True, return_dict=True
        )
    cache = getattr(returned, "past_key_values", None)
    layers = getattr(cache, "layers", None)
    if not isinstance(cache, DynamicCache) or not layers or len(layers[0].keys.shape) != 4:
        raise InputError(
            f"{type(model).__name__} keeps something other than keys and values between its steps",
            expected="a decoder whose cache is transformers' DynamicCache",
        )
    found = [(layer.keys.shape, layer.values.shape) for layer in layers]
    if any(keys != values for keys, values in found):
        raise InputError(
            f"{type(model).__name__} has keys and values of different shapes",
            expected="one shape for both",
        )
    return [(int(keys[1]), int(keys[3])) for keys, _ in found]


def _end_ids(opened: Opened) -> tuple[int, ...]:
    """Tokens that end an answer: of the generation configuration, the model's and the tokenizer's.

    GGUF files have no generation configuration, and name one token alone.
    """
    found: list[int] = []
    for config in (opened.model.generation_config, opened.config.get_text_config()):
        ids = getattr(config, "eos_token_id", None)
        found += [ids] if isinstance(ids, int) else list(ids or ())
        if found:
            break
    return tuple(dict.fromkeys(found))


def _start_ids(opened: Opened) -> tuple[int, ...]:
    """What an empty prompt becomes."""
    begin = opened.config.get_text_config().bos_token_id
    return (begin,) if isinstance(begin, int) else _end_ids(opened)[:1]
