"""A checkpoint's tokenizer as one `tokenizer.json`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError, ToolkitWarning
from toolkit.export.checkpoint.files import refuse_pointer
from toolkit.export.checkpoint.marian_tokenizer import (
    SOURCE,
    TABLE,
    has_marian_files,
    marian_tokenizer,
)
from toolkit.export.libraries import quiet
from toolkit.export.torch_graph import first_line
from toolkit.tasks import TextSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from toolkit.export.checkpoint import Opened

TOKENIZER = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_SENTENCES = "sentence_bert_config.json"
"""Where sentence-transformers says how much of a text it reads."""
_NO_LIMIT = 1_000_000
"""transformers writes 1e30 where a tokenizer knows no limit."""
_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "source.spm")
"""Files that a tokenizer is made of where there is no tokenizer.json."""
_MADE_OF = ("vocab*", "merges*", "*.model", "*.spm", "*.codes", "*.tiktoken")
"""Files that transformers makes a tokenizer of."""
_FEWEST = 64
"""A tokenizer with fewer tokens, for a model with many more, was built without its vocabulary:
`BertTokenizerFast(vocab_file=...)` of transformers 5 has 5 (platform.md)."""

_LEAST_SHARE, _USUAL_SHARE = 0.5, 0.9
"""Of the model's rows: a tokenizer with fewer tokens is another model's, or may be. Rows without a
token are padding up to a round number, mostly below 1 %."""


def write_tokenizer(opened: Opened, folder: Path) -> tuple[Tokenizer, TextSpec]:
    """Write `tokenizer.json` into a folder, and say how it is applied.

    Returns:
        The tokenizer, with neither truncation nor padding, and its specification.

    Raises:
        InputError: The checkpoint has no tokenizer, or one that does not fit the model.
    """
    directory = opened.files.path
    tokenizer = _tokenizer(opened)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    _check_vocabulary(tokenizer, vocabulary_size(opened.config), directory)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / TOKENIZER))
    pad_token, pad_id = _padding(opened, tokenizer)
    longest = longest_text(opened)
    asked = opened.options.max_length
    if asked is not None and not 2 <= asked <= longest:
        raise InputError(
            f"a maximum length of {asked} tokens does not fit {directory}",
            expected=f"2 to {longest}",
        )
    return tokenizer, TextSpec(max_length=asked or longest, pad_id=pad_id, pad_token=pad_token)


def vocabulary_size(config: Any) -> int:
    """Rows of the embedding table."""
    return int(config.get_text_config().vocab_size)


def tokenizer_config(directory: Path) -> dict[str, Any]:
    """What `tokenizer_config.json` says; nothing where there is none."""
    return _json(directory / _CONFIG)


def mask_token(opened: Opened, tokenizer: Tokenizer) -> str:
    """What stands for a word to be found.

    Raises:
        InputError: The tokenizer has none.
    """
    value = tokenizer_config(opened.files.path).get("mask_token")
    token = value.get("content") if isinstance(value, dict) else value
    for candidate in (token, "[MASK]", "<mask>"):
        if candidate and tokenizer.token_to_id(candidate) is not None:
            return str(candidate)
    raise InputError(
        f"the tokenizer of {opened.files.path} has no mask token",
        expected=f"mask_token in {_CONFIG}",
    )


def _json(file: Path) -> dict[str, Any]:
    """A file's object; an empty one where there is no file."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no valid JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def longest_text(opened: Opened) -> int:
    """Tokens that the model has positions for, as far as its files say."""
    config = opened.config.get_text_config()
    limits = [
        tokenizer_config(opened.files.path).get("model_max_length"),
        _positions(config),
    ]
    if opened.task == "feature-extraction":
        limits.append(_json(opened.files.path / _SENTENCES).get("max_seq_length"))
    known = [int(limit) for limit in limits if limit and limit < _NO_LIMIT]
    return min(known, default=512)


def _positions(config: Any) -> int | None:
    for name in ("max_position_embeddings", "n_positions", "max_source_positions"):
        positions = getattr(config, name, None)
        if positions and positions > 0:
            # RoBERTa and its like count positions from the padding id on.
            offset = (config.pad_token_id or 0) + 1 if _counts_from_padding(config) else 0
            return int(positions) - offset
    return None


def _counts_from_padding(config: Any) -> bool:
    return config.model_type in {
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }


def _tokenizer(opened: Opened) -> Tokenizer:
    from tokenizers import Tokenizer

    directory = opened.files.path
    file = directory / TOKENIZER
    if file.is_file():
        refuse_pointer(file)
        try:
            return Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises bare Exception for every broken file
            raise InputError(f"{file} is no tokenizer: {error}") from error
    if opened.config.model_type == "marian" and has_marian_files(directory):
        return marian_tokenizer(directory)
    _check_files(opened)
    from transformers import AutoTokenizer

    options = {"gguf_file": opened.files.weights[0].name} if opened.files.kind == "gguf" else {}
    try:
        with quiet():
            found = AutoTokenizer.from_pretrained(directory, local_files_only=True, **options)
    except Exception as error:  # whatever a missing or broken vocabulary raises
        raise InputError(
            f"{directory} has no tokenizer that can be read: {first_line(error)}",
            expected=f"{TOKENIZER}, or a vocabulary that transformers can convert to one",
        ) from error
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"the tokenizer of {directory}, {type(found).__name__}, cannot be written as "
            f"{TOKENIZER}",
            expected="a tokenizer that Hugging Face tokenizers has",
        )
    converted: Tokenizer = backend
    return converted


def _check_files(opened: Opened) -> None:
    """Whether there is anything that a tokenizer could be made of."""
    directory = opened.files.path
    if opened.config.model_type == "marian":
        missing = [name for name in (SOURCE, TABLE) if not (directory / name).is_file()]
    elif opened.files.kind == "gguf" or any(
        found for pattern in _MADE_OF for found in directory.glob(pattern)
    ):
        missing = []
    else:
        missing = [TOKENIZER]
    if missing:
        raise InputError(
            f"{directory / missing[0]} is missing, and there is no other file of a tokenizer",
            expected=f"{TOKENIZER}, or a vocabulary that transformers can convert to one, such as "
            "vocab.txt, or vocab.json with merges.txt",
        )


def _check_vocabulary(tokenizer: Tokenizer, rows: int, directory: Path) -> None:
    files = (directory / name for name in (TOKENIZER, *_VOCABULARIES))
    file = next((file for file in files if file.is_file()), directory)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    largest = max(vocabulary.values(), default=-1)
    if largest >= rows:
        raise InputError(
            f"the tokenizer of {file} makes token ids up to {largest}, the model has {rows}",
            expected="the tokenizer that the model was trained with",
        )
    if len(vocabulary) < min(_FEWEST, rows):
        raise InputError(
            f"the tokenizer of {file} knows {len(vocabulary)} tokens, the model {rows}: it "
            "was built without its vocabulary",
            expected="the tokenizer that the model was trained with",
        )
    found = f"the tokenizer of {file} knows {len(vocabulary):,} tokens, the model has {rows:,} rows"
    if len(vocabulary) < _LEAST_SHARE * rows:
        raise InputError(
            f"{found}: it belongs to another model",
            expected="the tokenizer that the model was trained with",
        )
    if len(vocabulary) < _USUAL_SHARE * rows:
        warnings.warn(
            f"{found}: make sure that it is the one that the model was trained with",
            ToolkitWarning,
            stacklevel=3,
        )


def _padding(opened: Opened, tokenizer: Tokenizer) -> tuple[str, int]:
    """The token that fills a shorter text, and its id."""
    named = tokenizer_config(opened.files.path)
    for key in ("pad_token", "eos_token", "unk_token"):
        value = named.get(key)
        token = value.get("content") if isinstance(value, dict) else value
        number = tokenizer.token_to_id(token) if token else None
        if token and number is not None:
            return token, number
    pad_id = opened.config.get_text_config().pad_token_id or 0
    return tokenizer.id_to_token(pad_id) or "", int(pad_id)
