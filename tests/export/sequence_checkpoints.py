"""Checkpoints of tiny random encoder-decoders and speech models, made in memory and saved."""
# ruff: noqa: S106 - a special token is no password

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, processors

from tests.export.checkpoints import byte_level_tokenizer, save, unigram_tokenizer

LAYERS: Mapping[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "init_std": 0.3,  # answers that differ from item to item
}
"""Sizes of an encoder-decoder that runs in no time."""


def marian_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random MarianMT; the decoder begins with padding, which it never writes."""
    tokenizer = unigram_tokenizer("$A </s>", "$A </s> $B </s>", ["</s>", "<unk>", "<pad>"])
    pad, end = tokenizer.token_to_id("<pad>"), tokenizer.token_to_id("</s>")
    settings = {
        **LAYERS,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 160,
        "pad_token_id": pad,
        "eos_token_id": end,
        "decoder_start_token_id": pad,
        "forced_eos_token_id": end,
        "scale_embedding": True,
        "activation_function": "swish",
        **config,
    }
    model = _made("MarianMTModel", "MarianConfig", seed, settings)
    with torch.no_grad():  # what a trained model has, and a fresh one has not
        model.final_logits_bias.normal_()
    model.generation_config.bad_words_ids = [[pad]]
    tokens = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(path, model, tokenizer, model_max_length=64, **tokens)


def bart_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random BART; every answer begins with `<s>`, and no three tokens come twice."""
    tokenizer = byte_level_tokenizer()
    ids = {role: tokenizer.token_to_id(t) for role, t in (("pad", "<pad>"), ("end", "</s>"))}
    settings = {
        **LAYERS,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 160,
        "bos_token_id": tokenizer.token_to_id("<s>"),
        "pad_token_id": ids["pad"],
        "eos_token_id": ids["end"],
        "decoder_start_token_id": ids["end"],
        **config,
    }
    model = _made("BartForConditionalGeneration", "BartConfig", seed, settings)
    model.generation_config.update(
        forced_bos_token_id=tokenizer.token_to_id("<s>"),
        forced_eos_token_id=ids["end"],
        no_repeat_ngram_size=3,
        min_length=5,
    )
    tokens = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(path, model, tokenizer, model_max_length=64, **tokens)


def _made(head: str, kind: str, seed: int, settings: Mapping[str, Any]) -> Any:
    torch.manual_seed(seed)
    return getattr(transformers, head)(getattr(transformers, kind)(**settings)).eval()
