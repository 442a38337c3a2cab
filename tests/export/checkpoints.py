"""Checkpoints of tiny random models with real tokenizers, made in memory and saved."""
# ruff: noqa: S106 - a special token is no password

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

CORPUS = (
    "A gorgeous, witty film. The plot makes no sense, the acting is wooden, yet one forgives it.",
    "I left the cinema after twenty minutes and have not regretted it once. Dull, dull, dull!",
    "Anna Schmidt moved from Lisbon to Toronto in 2019 to work for the Red Cross.",
    "Why does anyone make a sequel to a story that was finished? It's fine: nothing more - 6/10.",
    "Where does Anna work? She works in Toronto, for the Red Cross, since 2019.",
)
"""Where the tokenizers have their vocabularies from."""
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

NER_LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SMALL: Mapping[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "initializer_range": 0.2,  # answers that differ from text to text
}
"""Sizes of an encoder that loads and runs in no time."""


def wordpiece_tokenizer() -> Tokenizer:
    """BERT's: lower case, words cut into pieces that begin with `##`."""
    letters = sorted({*"".join(CORPUS).lower()} - {" "})
    words = _words(lower=True)
    pieces = [f"##{letter}" for letter in letters] + [f"##{word[2:]}" for word in words[::3]]
    listed = dict.fromkeys([*BERT_TOKENS, *letters, *words[::2], *pieces])
    vocabulary = {token: number for number, token in enumerate(listed)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(BERT_TOKENS))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(
        _numbered(tokenizer, "[SEP]"), _numbered(tokenizer, "[CLS]")
    )
    return tokenizer


def byte_level_tokenizer() -> Tokenizer:
    """RoBERTa's: pieces of bytes, a leading space belongs to its word."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    merges: dict[tuple[str, str], None] = {}
    for word in _words()[::2]:
        for spelled in (word, f"\u0120{word}"):
            for end in range(1, len(spelled)):
                merges[spelled[:end], spelled[end]] = None
    listed = dict.fromkeys([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    listed |= dict.fromkeys("".join(pair) for pair in merges)
    vocabulary = {token: number for number, token in enumerate(listed)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [*merges], unk_token="<unk>"))
    mask = AddedToken("<mask>", lstrip=True, special=True)  # as RoBERTa's, with the space before it
    tokenizer.add_special_tokens([*special[:-1], mask])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        _numbered(tokenizer, "</s>"), _numbered(tokenizer, "<s>"), add_prefix_space=False
    )
    return tokenizer


def unigram_tokenizer(template: str, pair: str, special: Sequence[str]) -> Tokenizer:
    """SentencePiece's kind: spaces are written as `\u2581`, pieces are chosen by their likelihood.

    Args:
        template: What stands around a text, by `processors.TemplateProcessing`.
        pair: What stands around two.
        special: Special tokens in the order of their numbers; `<unk>` is one.
    """
    letters = [*sorted({*"".join(CORPUS)} - {" "}), "\u2581"]
    pieces = [f"\u2581{word}" for word in _words()[::2]] + [word[-3:] for word in _words()[::3]]
    scores = dict.fromkeys(special, 0.0) | dict.fromkeys(letters, -12.0)
    scores |= {piece: -6.0 - i / 100 for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.Unigram([*scores.items()], unk_id=special.index("<unk>")))
    tokenizer.add_special_tokens([*special])
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        pair=pair,
        special_tokens=[_numbered(tokenizer, name) for name in special if name in template],
    )
    return tokenizer


def _words(*, lower: bool = False) -> list[str]:
    """The words of the corpus, longer ones; training a vocabulary would give another each time."""
    text = " ".join(CORPUS)
    return sorted({*re.findall(r"[a-z]{4,}", text.lower() if lower else text, re.IGNORECASE)})


def _numbered(tokenizer: Tokenizer, token: str) -> tuple[str, int]:
    number = tokenizer.token_to_id(token)
    assert number is not None
    return token, number


def save(path: Path, model: Any, tokenizer: Tokenizer, **tokens: Any) -> Path:
    """Save a model and its tokenizer as a checkpoint directory, and return it.

    Args:
        path: The directory.
        model: transformers' model.
        tokenizer: The tokenizer.
        tokens: Special tokens by role, such as `pad_token`, and settings of the tokenizer.
    """
    model.save_pretrained(path)
    make: Any = transformers.PreTrainedTokenizerFast
    fast = make(tokenizer_object=tokenizer, **tokens)
    fast.save_pretrained(path)
    return path


def labeled(names: tuple[str, ...]) -> dict[str, Any]:
    """The part of a configuration that names the labels."""
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }


def bert_checkpoint(
    path: Path, head: str = "BertForSequenceClassification", *, seed: int = 0, **config: Any
) -> Path:
    """A tiny random BERT with WordPiece.

    Args:
        path: The directory to write.
        head: The class of transformers.
        seed: Of the weights.
        config: Settings of the configuration, such as `labeled(("no", "yes"))`.
    """
    settings = {**SMALL, "max_position_embeddings": 64, **config}
    return _encoder(path, head, transformers.BertConfig, wordpiece_tokenizer, seed, settings)


def roberta_checkpoint(
    path: Path, head: str = "RobertaForSequenceClassification", *, seed: int = 0, **config: Any
) -> Path:
    """A tiny random RoBERTa with byte-level BPE; positions are counted from 2 on."""
    settings = {**SMALL, "max_position_embeddings": 66, "type_vocab_size": 1, **config}
    return _encoder(path, head, transformers.RobertaConfig, byte_level_tokenizer, seed, settings)


def deberta_checkpoint(
    path: Path, head: str = "DebertaV2ForSequenceClassification", *, seed: int = 0, **config: Any
) -> Path:
    """A tiny random DeBERTa-v2 with a unigram vocabulary."""
    settings = {
        **SMALL,
        "max_position_embeddings": 64,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        **config,
    }
    special = ["[PAD]", "[CLS]", "[SEP]", "<unk>", "[MASK]"]
    make = lambda: unigram_tokenizer(  # noqa: E731
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special
    )
    return _encoder(path, head, transformers.DebertaV2Config, make, seed, settings)


def _encoder(
    path: Path,
    head: str,
    kind: Callable[..., Any],
    make: Callable[[], Tokenizer],
    seed: int,
    settings: Mapping[str, Any],
) -> Path:
    tokenizer = make()
    roles = {
        f"{role}_token": next(name for name in names if tokenizer.token_to_id(name) is not None)
        for role, names in _ROLES.items()
    }
    config = kind(
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=tokenizer.token_to_id(roles["pad_token"]),
        **settings,
    )
    torch.manual_seed(seed)
    model = getattr(transformers, head)(config).eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = names if config.type_vocab_size > 1 else names[:2]
    return save(path, model, tokenizer, model_max_length=64, model_input_names=inputs, **roles)


_ROLES: Mapping[str, tuple[str, ...]] = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}


def gpt2_checkpoint(
    path: Path, head: str = "GPT2LMHeadModel", *, seed: int = 0, **config: Any
) -> Path:
    """A tiny random GPT-2 with byte-level BPE and the end of text `</s>`."""
    tokenizer = byte_level_tokenizer()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    end = tokenizer.token_to_id("</s>")
    settings = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, **config}
    torch.manual_seed(seed)
    made: Any = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        bos_token_id=end,
        eos_token_id=end,
        initializer_range=0.2,
        **settings,
    )
    model: Any = getattr(transformers, head)(made)
    return save(path, model, tokenizer, model_max_length=64, eos_token="</s>", unk_token="<unk>")


def t5_checkpoint(path: Path, *, seed: int = 0, **config: Any) -> Path:
    """A tiny random T5 with a unigram vocabulary; `</s>` ends a text."""
    tokenizer = unigram_tokenizer("$A </s>", "$A </s> $B </s>", ["<pad>", "</s>", "<unk>"])
    settings = {"d_model": 32, "d_ff": 48, "d_kv": 16, "num_layers": 2, "num_heads": 2, **config}
    torch.manual_seed(seed)
    kind: Any = transformers.T5Config
    made = kind(
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=tokenizer.token_to_id("<pad>"),
        eos_token_id=tokenizer.token_to_id("</s>"),
        decoder_start_token_id=tokenizer.token_to_id("<pad>"),
        **{"initializer_factor": 2.0, **settings},
    )
    model: Any = transformers.T5ForConditionalGeneration(made)
    tokens = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return save(path, model, tokenizer, model_max_length=64, **tokens)
