"""MarianMT's SentencePiece models and table as one tokenizer.

The table of a checkpoint numbers the pieces of both languages in an order of its own. With
sentencepiece 0.2.3 and transformers' MarianTokenizer the ids of 13 texts were the same; here the
reference is a unigram tokenizer with the same pieces and likelihoods.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.export.checkpoints import CORPUS, unigram_tokenizer
from toolkit.errors import InputError
from toolkit.export.checkpoint.marian_tokenizer import has_marian_files, marian_tokenizer

pytestmark = pytest.mark.torch

TEXTS = (*CORPUS, "Anna  works in   Toronto ", "It's 6/10!", "x", "Größe")


@pytest.fixture(scope="module")
def reference() -> Tokenizer:
    return unigram_tokenizer("$A </s>", "$A $B </s>", ["<unk>", "</s>", "<pad>"])


@pytest.fixture
def files(reference: Tokenizer, tmp_path: Path) -> Path:
    """The reference's pieces as a checkpoint's files, with ids of another order."""
    from transformers.utils import sentencepiece_model_pb2_new as sentencepiece

    made: Any = sentencepiece
    model = made.ModelProto()
    model.trainer_spec.model_type = 1
    pieces = json.loads(reference.to_str())["model"]["vocab"]
    for piece, score in pieces:
        model.pieces.add(piece=piece, score=score)
    (tmp_path / "source.spm").write_bytes(model.SerializeToString())
    others = [piece for piece, _ in pieces if piece not in {"<unk>", "</s>", "<pad>"}]
    random.Random(0).shuffle(others)  # noqa: S311 - an order, no secret
    # The target language's pieces: longer than what the source language would cut.
    tokens = ["</s>", "<unk>", *others, "▁Ännchen", "▁Toronto.", ">>de<<", "<pad>"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    return tmp_path


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_cut_by_the_source_language(files: Path, reference: Tokenizer, text: str) -> None:
    table = json.loads((files / "vocab.json").read_text())
    wanted = [
        table.get(token, table["<unk>"])
        for token in reference.encode(" ".join(text.split())).tokens
    ]
    found = marian_tokenizer(files).encode(text)
    assert found.ids == wanted


def test_pieces_of_both_languages_are_written(files: Path) -> None:
    table = json.loads((files / "vocab.json").read_text())
    tokenizer = marian_tokenizer(files)
    ids = [table["▁Ännchen"], table["▁Toronto."], table["</s>"]]
    assert tokenizer.decode(ids) == "Ännchen Toronto."


def test_the_code_of_the_target_language_is_one_token(files: Path) -> None:
    table = json.loads((files / "vocab.json").read_text())
    ids = marian_tokenizer(files).encode(">>de<< Anna").ids
    assert ids[0] == table[">>de<<"]
    assert ids[1:] == marian_tokenizer(files).encode("Anna").ids


def test_damaged_files_are_named(files: Path) -> None:
    assert has_marian_files(files)
    (files / "vocab.json").write_text("[]")
    with pytest.raises(InputError, match=r"vocab\.json is no table of tokens"):
        marian_tokenizer(files)
    (files / "source.spm").write_bytes(b"\xff\xff\xff")
    with pytest.raises(InputError, match=r"source\.spm is no SentencePiece model"):
        marian_tokenizer(files)
    (files / "source.spm").unlink()
    assert not has_marian_files(files)
