"""Checkpoints of tiny random decoders, with a tokenizer of bytes and a few words."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import processors

from tests.export.checkpoints import byte_level_tokenizer, save

ROOM = 64
BEGIN_ID, END_ID, PAD_ID = 0, 2, 1
WINDOW = 8
"""Tokens that a layer with a sliding window sees."""


def decoder_checkpoint(path: Path, kind: str, *, seed: int = 0) -> Path:
    """A checkpoint; weights are spread wide, so that answers differ from prompt to prompt.

    Args:
        path: The directory to write.
        kind: "gpt2", "llama", "qwen2", "qwen3", or "mistral" and "gemma3" with sliding windows.
        seed: Of the weights.
    """
    tokenizer = byte_level_tokenizer()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    settings: dict[str, Any] = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": ROOM,
        "bos_token_id": BEGIN_ID,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
        "initializer_range": 0.3,
    }
    if kind == "gpt2":
        for name in ("num_key_value_heads", "intermediate_size"):
            settings.pop(name)
    if kind in {"qwen3", "gemma3"}:
        settings["head_dim"] = 8
    if kind in {"mistral", "gemma3"}:
        settings["sliding_window"] = WINDOW
    if kind == "gemma3":
        settings["layer_types"] = ["sliding_attention", "full_attention"]
    torch.manual_seed(seed)
    config, model = _CLASSES[kind]
    made = getattr(transformers, model)(getattr(transformers, config)(**settings))
    return save(path, made, tokenizer, eos_token="</s>", bos_token="<s>", pad_token="<pad>")  # noqa: S106 - a token is no password


_CLASSES = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
}
