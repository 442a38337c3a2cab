"""A text classifier as Hugging Face stores it, of a few kilobytes and random weights."""

from pathlib import Path


def tiny_checkpoint(folder: Path) -> Path:
    """Write one that takes `input_ids` alone and answers with `logits`; needs transformers."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
