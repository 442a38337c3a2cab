"""The tokenizer of a MarianMT checkpoint, which comes as two SentencePiece models and a table.

transformers reads them with the library sentencepiece, in Python, and cannot write `tokenizer.json`
of them. Not done here: sacremoses' punctuation, which transformers applies where it is installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from toolkit.errors import InputError

SOURCE, TABLE = "source.spm", "vocab.json"
_UNIGRAM = 1
_UNHEARD = -1e4
"""The score of a piece that the source language's model does not have: any other way to cut a text
is likelier."""


def has_marian_files(directory: Path) -> bool:
    """Whether the directory has what `marian_tokenizer` reads."""
    return (directory / SOURCE).is_file() and (directory / TABLE).is_file()


def marian_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer of the source language, whose ids are those of both languages.

    Args:
        directory: The checkpoint, with `source.spm` and `vocab.json`.

    Raises:
        InputError: A file is damaged, or of a kind that is not known here.
    """
    model, table = _model(directory / SOURCE), _table(directory / TABLE)
    scores = {piece.piece: float(piece.score) for piece in model.pieces}
    rows = [("", _UNHEARD)] * (max(table.values()) + 1)
    for piece, number in table.items():
        rows[number] = (piece, scores.get(piece, _UNHEARD))
    special = [token for token in ("</s>", "<unk>", "<pad>") if token in table]
    tokenizer = Tokenizer(models.Unigram(rows, unk_id=table["<unk>"], byte_fallback=False))
    steps: list[Any] = []
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", table["</s>"])]
    )
    tokenizer.add_special_tokens(special)
    codes = [token for token in table if token.startswith(">>") and token.endswith("<<")]
    tokenizer.add_tokens([AddedToken(code, normalized=False) for code in codes])
    return tokenizer


def _model(file: Path) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none
    from transformers.utils import sentencepiece_model_pb2_new as sentencepiece

    made: Any = sentencepiece
    model = made.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"{file} is no SentencePiece model: {error}") from error
    if not model.pieces or model.trainer_spec.model_type != _UNIGRAM:
        raise InputError(
            f"{file} is a SentencePiece model of type {model.trainer_spec.model_type} with "
            f"{len(model.pieces)} pieces",
            expected="a unigram model, as MarianMT's are",
        )
    return model


def _table(file: Path) -> dict[str, int]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    numbers = table.values() if isinstance(table, dict) else ()
    if not {"</s>", "<unk>"} <= set(table) or not all(isinstance(n, int) for n in numbers):
        raise InputError(f"{file} is no table of tokens", expected="{token: id}, with </s>, <unk>")
    return dict(table)
