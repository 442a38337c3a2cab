"""Checkpoints of tiny random encoder-decoders and speech models, made in memory and saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import processors

from tests.export.checkpoints import byte_level_tokenizer, save, t5_checkpoint, unigram_tokenizer

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


def calm_t5_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random T5 of small values; no pair of tokens comes twice, or one token alone would."""
    t5_checkpoint(path, seed=seed, **{"initializer_factor": 1.0, **config})
    file = path / "generation_config.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "_from_model_config": False, "no_repeat_ngram_size": 2}))
    return path


def marian_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random MarianMT; its decoder begins with padding, which it never writes itself."""
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
    _configure(model, bad_words_ids=[[pad]], no_repeat_ngram_size=2)
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
    _configure(
        model,
        forced_bos_token_id=tokenizer.token_to_id("<s>"),
        forced_eos_token_id=ids["end"],
        no_repeat_ngram_size=3,
        min_length=5,
    )
    tokens = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(path, model, tokenizer, model_max_length=64, **tokens)


def _configure(model: Any, **settings: Any) -> None:
    """Set what a checkpoint says in generation_config.json."""
    # Made by the model, it would be made again when the checkpoint is loaded.
    for name, value in {**settings, "_from_model_config": False}.items():
        setattr(model.generation_config, name, value)


def _made(head: str, kind: str, seed: int, settings: Mapping[str, Any]) -> Any:
    torch.manual_seed(seed)
    return getattr(transformers, head)(getattr(transformers, kind)(**settings)).eval()


def whisper_checkpoint(
    path: Path, *, seed: int = 0, languages: tuple[str, ...] = ("de", "en"), **config: Any
) -> Path:
    """A tiny random Whisper that hears one second of 16 mel bins.

    Args:
        path: The directory to write.
        seed: Of the weights.
        languages: Codes of the languages; none for a model of one.
        config: Settings of the configuration.
    """
    tokenizer = byte_level_tokenizer()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    told = ["<|start|>", *(f"<|{code}|>" for code in languages)]
    told += ["<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens(told)
    ids = {token: tokenizer.token_to_id(token) for token in told}
    end = tokenizer.token_to_id("</s>")
    settings = {
        **LAYERS,
        "vocab_size": tokenizer.get_vocab_size(),
        "num_mel_bins": 16,
        "max_source_positions": 50,
        "max_target_positions": 40,
        "bos_token_id": end,
        "pad_token_id": end,
        "eos_token_id": end,
        "decoder_start_token_id": ids["<|start|>"],
        **config,
    }
    model = _made("WhisperForConditionalGeneration", "WhisperConfig", seed, settings)
    _configure(
        model,
        max_length=settings["max_target_positions"],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        return_timestamps=False,
        suppress_tokens=[*ids.values()],
        begin_suppress_tokens=[end, tokenizer.token_to_id("Ġ")],
        is_multilingual=bool(languages),
    )
    if languages:
        _configure(
            model,
            lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in languages},
            task_to_id={task: ids[f"<|{task}|>"] for task in ("translate", "transcribe")},
            task="transcribe",
        )
    tokens = {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    save(path, model, tokenizer, model_max_length=40, **tokens)
    extractor: Any = transformers.WhisperFeatureExtractor
    extractor(feature_size=16, chunk_length=1).save_pretrained(path)
    return path


def wav2vec2_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random wav2vec2 with a head for CTC, of 10 ms a frame."""
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDL'"]
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "conv_dim": (16, 16, 16),
        "conv_kernel": (10, 3, 2),
        "conv_stride": (5, 4, 8),
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "vocab_size": len(tokens),
        "pad_token_id": 0,
        "initializer_range": 0.4,
        **config,
    }
    model = _made("Wav2Vec2ForCTC", "Wav2Vec2Config", seed, settings)
    model.save_pretrained(path)
    vocabulary = path / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    library: Any = transformers
    library.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(path)
    layered = settings.get("feat_extract_norm") == "layer"
    library.Wav2Vec2FeatureExtractor(return_attention_mask=layered).save_pretrained(path)
    return path
