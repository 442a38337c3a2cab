"""The architectures of the compatibility matrix: tiny, random, with real tokenizers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.export import checkpoints, image_checkpoints, sequence_checkpoints
from tests.export.checkpoints import SMALL, byte_level_tokenizer, save, wordpiece_tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of the matrix.

    Attributes:
        name: As people say it.
        write: Writes the checkpoint into an empty directory.
    """

    name: str
    write: Callable[[Path], object]


def _encoder(head: str, kind: str, **settings: Any) -> Callable[[Path], object]:
    """A writer of an encoder with WordPiece."""

    def write(path: Path) -> Path:
        tokenizer = wordpiece_tokenizer()
        return _saved(path, head, kind, tokenizer, settings, pad="[PAD]")

    return write


def _decoder(head: str, kind: str, **settings: Any) -> Callable[[Path], object]:
    """A writer of a decoder with byte-level BPE, whose texts end with `</s>`."""

    def write(path: Path) -> Path:
        tokenizer = byte_level_tokenizer()
        tokenizer.post_processor = transformers.GPT2Tokenizer().backend_tokenizer.post_processor
        end = tokenizer.token_to_id("</s>")
        ids = {"bos_token_id": end, "eos_token_id": end}
        return _saved(path, head, kind, tokenizer, {**settings, **ids}, pad="<pad>", eos="</s>")

    return write


def _saved(
    path: Path, head: str, kind: str, tokenizer: Any, settings: Mapping[str, Any], **roles: str
) -> Path:
    torch.manual_seed(0)
    config = getattr(transformers, kind)(
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=tokenizer.token_to_id(roles["pad"]),
        **settings,
    )
    model = getattr(transformers, head)(config).eval()
    tokens = {f"{role}_token": token for role, token in roles.items()}
    return save(path, model, tokenizer, model_max_length=64, **tokens)


_DECODER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_TWO_LABELS = checkpoints.labeled(("no", "yes"))

ARCHITECTURES = (
    Architecture(name="BERT", write=checkpoints.bert_checkpoint),
    Architecture(
        name="DistilBERT",
        write=_encoder(
            "DistilBertForSequenceClassification",
            "DistilBertConfig",
            dim=32,
            n_layers=2,
            n_heads=2,
            hidden_dim=48,
            max_position_embeddings=64,
            **_TWO_LABELS,
        ),
    ),
    Architecture(name="RoBERTa", write=checkpoints.roberta_checkpoint),
    Architecture(name="DeBERTa-v2", write=checkpoints.deberta_checkpoint),
    Architecture(
        name="MPNet",
        write=_encoder("MPNetModel", "MPNetConfig", **SMALL, max_position_embeddings=66),
    ),
    Architecture(
        name="MobileBERT",
        write=_encoder(
            "MobileBertForTokenClassification",
            "MobileBertConfig",
            **{**SMALL, "initializer_range": 0.05},  # it has no norms that keep wider ones small
            embedding_size=32,
            intra_bottleneck_size=32,
            max_position_embeddings=64,
            **checkpoints.labeled(checkpoints.NER_LABELS),
        ),
    ),
    Architecture(
        name="ModernBERT",
        write=_encoder(
            "ModernBertForMaskedLM",
            "ModernBertConfig",
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=4,
            num_attention_heads=2,
            max_position_embeddings=64,
            local_attention=16,
            bos_token_id=2,
            cls_token_id=2,
            eos_token_id=3,
            sep_token_id=3,
        ),
    ),
    Architecture(name="T5", write=sequence_checkpoints.calm_t5_checkpoint),
    Architecture(name="MarianMT", write=sequence_checkpoints.marian_checkpoint),
    Architecture(name="BART", write=sequence_checkpoints.bart_checkpoint),
    Architecture(name="GPT-2", write=checkpoints.gpt2_checkpoint),
    Architecture(name="Llama", write=_decoder("LlamaForCausalLM", "LlamaConfig", **_DECODER)),
    Architecture(name="Qwen2", write=_decoder("Qwen2ForCausalLM", "Qwen2Config", **_DECODER)),
    Architecture(
        name="Qwen3", write=_decoder("Qwen3ForCausalLM", "Qwen3Config", **_DECODER, head_dim=8)
    ),
    Architecture(
        name="SmolLM2 (tied Llama)",
        write=_decoder(
            "LlamaForCausalLM",
            "LlamaConfig",
            **{**_DECODER, "num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 48},
            tie_word_embeddings=True,
        ),
    ),
    Architecture(
        name="SmolLM3",
        write=_decoder("SmolLM3ForCausalLM", "SmolLM3Config", **_DECODER),
    ),
    Architecture(name="ViT", write=image_checkpoints.vit_checkpoint),
    Architecture(name="ResNet", write=image_checkpoints.resnet_checkpoint),
    Architecture(name="MobileNetV2", write=image_checkpoints.mobilenet_checkpoint),
    Architecture(name="ConvNeXt", write=image_checkpoints.convnext_checkpoint),
    Architecture(name="YOLOS", write=image_checkpoints.yolos_checkpoint),
    Architecture(name="DETR", write=image_checkpoints.detr_checkpoint),
    Architecture(name="CLIP", write=image_checkpoints.clip_checkpoint),
    Architecture(name="Whisper", write=sequence_checkpoints.whisper_checkpoint),
    Architecture(name="wav2vec2", write=sequence_checkpoints.wav2vec2_checkpoint),
)
