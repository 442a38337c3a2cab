"""Encoder-decoders as two modules: what attends to the input, and a decoder with a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from toolkit.export.checkpoint.modules import Named
from toolkit.export.feeds import Dimensions, Sizes
from toolkit.export.parts import Shapes, TorchPart
from toolkit.export.torch_graph import argument, run_module
from toolkit.tasks.sequence import (
    CROSS,
    DECODER,
    ENCODER,
    ENCODER_MASK,
    PAST,
    PRESENT,
    TOKENS,
    cache_names,
)
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

SOURCE = "encoder sequence"
"""The dimension of what the encoder was given."""
BATCHES, LENGTHS = (1, 3, 8), (4, 17, 128)
_STEPS = ((0, 1), (5, 1), (0, 4), (6, 3))
"""Tokens in the cache and new ones, at which a decoder is compared: the first call has no cache."""
_REFERENCE_STEP = (4, 2)
_REFERENCE_LENGTH = 16


class EncoderFeeds(Protocol):
    """Makes an encoder's feeds."""

    def __call__(self, sizes: Sizes, seed: int) -> dict[str, Array]:
        """Feeds of given sizes."""


class CrossEncoder(Named):
    """The encoder, and the keys and values that every decoder layer makes of its states.

    They are the same in every step of the decoder, so they are computed once an item. The model is
    called as a whole, with one decoder token. Nothing but these keys and values is returned, so
    that the exporter drops the decoder's own work.

    Args:
        model: transformers' encoder-decoder model.
        inputs: Names of the encoder's inputs.
        start: Any decoder token.
        layers: Decoder layers.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str], *, start: int, layers: int) -> None:
        self._start = start
        self._names = cache_names(CROSS, layers)
        super().__init__(model, inputs)

    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """{cross_key_values.N.key|value: float32[batch, heads, encoder sequence, head width]}."""
        batch = next(iter(feeds.values())).shape[0]
        begin = torch.full((batch, 1), self._start, dtype=torch.long)
        returned = self.model(**feeds, decoder_input_ids=begin, use_cache=True, return_dict=True)
        found = _keys_and_values(returned.past_key_values.cross_attention_cache)
        return dict(zip(self._names, found, strict=True))


class StepDecoder(Named):
    """New tokens after those whose keys and values are in the cache, which may be empty.

    Args:
        model: transformers' encoder-decoder model.
        layers: Decoder layers.
        is_masked: Whether the encoder's input can be padded.
    """

    def __init__(self, model: nn.Module, *, layers: int, is_masked: bool) -> None:
        self._past = cache_names(PAST, layers)
        self._cross = cache_names(CROSS, layers)
        self._present = cache_names(PRESENT, layers)
        mask = (ENCODER_MASK,) if is_masked else ()
        super().__init__(model, (TOKENS, *mask, *self._past, *self._cross))

    def answer(self, **feeds: Tensor) -> dict[str, Tensor]:
        """{"logits": float32[batch, sequence, vocabulary], present.N.key|value: float32[...]}."""
        past = [feeds.pop(argument(name)) for name in self._past]
        cross = [feeds.pop(argument(name)) for name in self._cross]
        cache = EncoderDecoderCache(_cache(past), _cache(cross))
        for layer in range(len(cross) // 2):
            cache.is_updated[layer] = True  # said: the length of the keys may be a symbol
        if ENCODER_MASK in feeds:
            feeds["attention_mask"] = feeds.pop(ENCODER_MASK)
        # Every layer takes its keys and values from the cache. Of the states, the length is read.
        states = cross[0].transpose(1, 2).flatten(2)
        returned = self.model(
            **feeds,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        present = _keys_and_values(returned.past_key_values.self_attention_cache)
        return {"logits": returned.logits, **dict(zip(self._present, present, strict=True))}


def _cache(tensors: Sequence[Tensor]) -> DynamicCache:
    cache = DynamicCache()
    for layer, (key, value) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
        cache.update(key, value, layer)
    return cache


def _keys_and_values(cache: Any) -> list[Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


@dataclass(frozen=True, kw_only=True)
class EncoderInput:
    """What an encoder takes.

    Attributes:
        make: Makes its feeds.
        reference: The reference feeds.
        dimensions: Their symbolic dimensions.
        traced: Sizes to trace with.
        compared: Sizes to compare at.
        is_masked: Whether the input can be padded, with an `attention_mask`.
        is_cut: Give the decoder fewer positions than the encoder makes. Whisper's makes 1,500 of
            any audio: 18 MB of keys and values for the smallest model, in every reference row.
    """

    make: EncoderFeeds
    reference: dict[str, Array]
    dimensions: Dimensions
    traced: Sizes
    compared: tuple[Sizes, ...]
    is_masked: bool
    is_cut: bool = False


def parts(opened: Opened, given: EncoderInput, *, start: int, room: int) -> tuple[TorchPart, ...]:
    """The encoder and the decoder of an encoder-decoder.

    Args:
        opened: The checkpoint.
        given: What its encoder takes.
        start: A token that the decoder begins with.
        room: Tokens that the decoder has positions for.
    """
    model = opened.model
    # torch 2.13 cannot trace T5 with torch's own attention, and both exporters write fewer nodes.
    model.set_attn_implementation("eager")
    layers = len(_first_step(model, given.reference, start).past_key_values)
    encoder = CrossEncoder(model, tuple(given.reference), start=start, layers=layers).eval()
    decoder = StepDecoder(model, layers=layers, is_masked=given.is_masked).eval()
    make = _DecoderFeeds(encoder, decoder, given, opened.config.get_text_config(decoder=True))
    steps = [(past, new) for past, new in _STEPS if past + new <= room]
    return (
        TorchPart(
            component=ENCODER,
            module=encoder,
            feeds=given.reference,
            dimensions=given.dimensions,
            shapes=Shapes(traced=given.traced, compared=given.compared, make=given.make),
        ),
        TorchPart(
            component=DECODER,
            module=decoder,
            feeds=make.reference(),
            dimensions=_decoder_dimensions(layers, is_masked=given.is_masked),
            shapes=Shapes(
                traced={SOURCE: 7, **given.traced, "sequence": 3, "past": 5},
                compared=tuple(
                    {SOURCE: LENGTHS[number % len(LENGTHS)], **sizes, "sequence": new, "past": past}
                    for number, sizes in enumerate(given.compared)
                    for past, new in (steps[number % len(steps)], steps[(number + 1) % len(steps)])
                ),
                make=make,
            ),
        ),
    )


def _first_step(model: Any, feeds: dict[str, Array], start: int) -> Any:
    one = {name: torch.from_numpy(value[:1]) for name, value in feeds.items()}
    with torch.no_grad():
        return model(
            **one, decoder_input_ids=torch.tensor([[start]]), use_cache=True, return_dict=True
        )


def _decoder_dimensions(layers: int, *, is_masked: bool) -> Dimensions:
    mask = {ENCODER_MASK: {0: "batch", 1: SOURCE}} if is_masked else {}
    return {
        TOKENS: {0: "batch", 1: "sequence"},
        **mask,
        **{name: {0: "batch", 2: "past"} for name in cache_names(PAST, layers)},
        **{name: {0: "batch", 2: SOURCE} for name in cache_names(CROSS, layers)},
    }


class _DecoderFeeds:
    """Makes a decoder's feeds as they are in use: of what the encoder gives, and of real steps."""

    def __init__(
        self, encoder: CrossEncoder, decoder: StepDecoder, given: EncoderInput, config: Any
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._given = given
        self._vocabulary = int(config.vocab_size)
        self._whole: dict[str, Array] = {}

    def __call__(self, sizes: Sizes, seed: int) -> dict[str, Array]:
        """Feeds of given sizes."""
        batch, length = sizes["batch"], sizes[SOURCE]
        encoded = {} if self._given.is_cut else self._given.make(sizes, seed)
        cross = self._piece(batch, length) if self._given.is_cut else self._crossed(encoded)
        return self._behind(encoded, cross, sizes["past"], sizes["sequence"], seed=seed)

    def reference(self) -> dict[str, Array]:
        """Two tokens behind four others, for what the encoder's reference is."""
        encoded = self._given.reference
        batch = len(next(iter(encoded.values())))
        cut = self._given.is_cut
        cross = self._piece(batch, _REFERENCE_LENGTH) if cut else self._crossed(encoded)
        return self._behind(encoded, cross, *_REFERENCE_STEP, seed=0)

    def _crossed(self, encoded: dict[str, Array]) -> dict[str, Array]:
        return run_module(self._encoder, encoded, output_names=())

    def _piece(self, batch: int, length: int) -> dict[str, Array]:
        """Rows and positions of what the encoder makes of its reference: it runs once."""
        if not self._whole:
            self._whole = self._crossed(self._given.reference)
        rows, places = np.arange(batch), np.arange(length)
        return {
            name: value.take(rows % len(value), axis=0).take(places % value.shape[2], axis=2)
            for name, value in self._whole.items()
        }

    def _behind(
        self,
        encoded: dict[str, Array],
        cross: dict[str, Array],
        past: int,
        new: int,
        *,
        seed: int,
    ) -> dict[str, Array]:
        """New tokens behind `past` others."""
        batch, heads, _, width = next(iter(cross.values())).shape
        mask = {ENCODER_MASK: encoded["attention_mask"]} if self._given.is_masked else {}
        rng = np.random.default_rng(seed)
        cache = {
            name.replace(CROSS, PAST, 1): np.zeros((batch, heads, 0, width), np.float32)
            for name in cross
        }
        if past:
            first = {TOKENS: rng.integers(0, self._vocabulary, (batch, past))}
            outputs = run_module(self._decoder, first | mask | cache | cross, output_names=())
            cache = {name: outputs[name.replace(PAST, PRESENT, 1)] for name in cache}
        tokens = {TOKENS: rng.integers(0, self._vocabulary, (batch, new))}
        return tokens | mask | cache | cross
