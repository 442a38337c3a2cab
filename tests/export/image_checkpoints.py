"""Checkpoints of tiny random image models with their image processors, made in memory and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers, processors
from torch import nn

from tests.export.checkpoints import byte_level_tokenizer, labeled, save

LABELS = ("cat", "dog", "bird")
SIZE = 32
END = "<|endoftext|>"


def vit_checkpoint(path: Path, *, processor: dict[str, Any] | None = None, **config: Any) -> Path:
    """A tiny random ViT for 32 x 32 pixels."""
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "image_size": SIZE,
        "patch_size": 8,
        "initializer_range": 0.3,
        **labeled(LABELS),
        **config,
    }
    size = {"size": {"height": SIZE, "width": SIZE}}
    model = _random(transformers.ViTForImageClassification, transformers.ViTConfig, settings)
    return _saved(path, model, "ViTImageProcessorPil", size | (processor or {}))


def resnet_checkpoint(path: Path, *, processor: dict[str, Any] | None = None) -> Path:
    """A tiny random ResNet, with the processor of ConvNeXT as ResNet checkpoints have it."""
    settings = {**_RESNET, **labeled(LABELS)}
    model = _random(transformers.ResNetForImageClassification, transformers.ResNetConfig, settings)
    size = {"size": {"shortest_edge": SIZE}, "crop_pct": 0.875, "resample": 3}
    return _saved(path, model, "ConvNextImageProcessorPil", size | (processor or {}))


def mobilenet_checkpoint(path: Path) -> Path:
    """A tiny random MobileNetV2."""
    settings = {"depth_multiplier": 0.1, "image_size": SIZE, **labeled(LABELS)}
    model = _random(
        transformers.MobileNetV2ForImageClassification, transformers.MobileNetV2Config, settings
    )
    sizes = {"size": {"shortest_edge": 36}, "crop_size": {"height": SIZE, "width": SIZE}}
    return _saved(path, model, "MobileNetV2ImageProcessorPil", sizes)


def convnext_checkpoint(path: Path) -> Path:
    """A tiny random ConvNeXT, whose processor stretches: its size is 384 or more."""
    settings = {
        "hidden_sizes": [8, 12, 16, 20],
        "depths": [1, 1, 1, 1],
        "layer_scale_init_value": 0.5,
        **labeled(LABELS),
    }
    model = _random(
        transformers.ConvNextForImageClassification, transformers.ConvNextConfig, settings
    )
    return _saved(path, model, "ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}})


def yolos_checkpoint(path: Path, **config: Any) -> Path:
    """A tiny random YOLOS with 12 queries."""
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "image_size": [48, 64],
        "patch_size": 16,
        "num_detection_tokens": 12,
        "initializer_range": 0.3,
        "use_mid_position_embeddings": False,
        **labeled(LABELS),
        **config,
    }
    model = _random(transformers.YolosForObjectDetection, transformers.YolosConfig, settings)
    size = {"size": {"shortest_edge": 48, "longest_edge": 80}}
    return _saved(path, model, "YolosImageProcessorPil", size)


def detr_checkpoint(path: Path) -> Path:
    """A tiny random DETR on a ResNet, with 12 queries."""
    backbone: Any = transformers.ResNetConfig
    settings = {
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": backbone(**_RESNET, out_features=["stage4"]),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "num_queries": 12,
        "init_std": 0.2,
        **labeled(LABELS),
    }
    model = _random(transformers.DetrForObjectDetection, transformers.DetrConfig, settings)
    size = {"size": {"shortest_edge": 64, "longest_edge": 100}}
    return _saved(path, model, "DetrImageProcessorPil", size)


def clip_checkpoint(path: Path) -> Path:
    """A tiny random CLIP with a byte-level vocabulary, whose last token ends a text."""
    tokenizer = byte_level_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([END])
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<s> $A {END}", pair=None, special_tokens=ends
    )
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "initializer_range": 0.3,
    }
    text = {
        **sizes,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 40,
        "bos_token_id": ends[0][1],
        "eos_token_id": ends[1][1],
        "pad_token_id": tokenizer.token_to_id("<pad>"),
    }
    settings = {
        "text_config": text,
        "vision_config": {**sizes, "image_size": SIZE, "patch_size": 8},
        "projection_dim": 16,
    }
    model = _random(transformers.CLIPModel, transformers.CLIPConfig, settings)
    tokens = {"pad_token": "<pad>", "eos_token": END, "bos_token": "<s>", "unk_token": "<unk>"}
    names = ["input_ids", "attention_mask"]
    save(path, model, tokenizer, model_max_length=40, model_input_names=names, **tokens)
    crop = {"crop_size": {"height": SIZE, "width": SIZE}, "size": {"shortest_edge": SIZE}}
    _processor("CLIPImageProcessorPil", crop).save_pretrained(path)
    return path


_RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 12, 16, 20],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}


def _random(kind: Any, config: Any, settings: dict[str, Any]) -> Any:
    """A model with random weights whose answers differ from picture to picture."""
    torch.manual_seed(0)
    model = kind(config(**settings))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("detection_tokens", "position_embeddings")):  # zero at first
                value.normal_(0, 1)
            if name.startswith("classifier") and name.endswith("weight"):
                value.normal_(0, 0.5 / value.shape[1] ** 0.5)
        model.train()  # lets batch normalization see something
        for _ in range(40 if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) else 0):
            model(pixel_values=torch.randn(8, 3, SIZE, SIZE))
    return model.eval()


def _processor(kind: str, settings: dict[str, Any]) -> Any:
    return getattr(transformers, kind)(**settings)


def _saved(path: Path, model: Any, processor: str, settings: dict[str, Any]) -> Path:
    model.save_pretrained(path)
    _processor(processor, settings).save_pretrained(path)
    return path
