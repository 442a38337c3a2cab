"""A `tokenizer.json` as tables, for apps that have no tokenizer library.

What the tables can say: WordPiece and WordLevel vocabularies, normalizers that work character by
character around at most one canonical decomposition, and pre-tokenizers that look at one character
at a time. Everything else is refused by name.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Tokenizer

from toolkit.bundle.characters import (
    HANGUL,
    Change,
    Marked,
    Normalize,
    changes,
    combining_classes,
    hangul_is_arithmetic,
    kinds,
)
from toolkit.errors import InputError

MODELS = ("WordPiece", "WordLevel")
NORMALIZERS = ("BertNormalizer", "Lowercase", "NFD", "NFKD", "Replace", "Sequence", "StripAccents")
PRE_TOKENIZERS = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")
POST_PROCESSORS = ("BertProcessing", "TemplateProcessing")

_ONE_CHARACTER = re.compile(r"\[\^?[^\[\]\\^&]+\]", re.DOTALL)
"""A regular expression that matches one character: a class without classes in it."""

_Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place of the template around the texts.

    Attributes:
        kind: A special token, or the tokens of the first or second text.
        token: Its id; 0 for the texts.
        type: The token type.
    """

    kind: Literal["token", "first", "second"]
    token: int
    type: int


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What an app needs to make token ids.

    Attributes:
        before: Changes of single characters before the decomposition.
        decomposition: NFD or NFKD without Hangul; None where nothing is decomposed.
        marks: Combining classes, by which decomposed marks are sorted.
        after: Changes of single characters after the decomposition, or all where there is none.
        kinds: How characters make words.
        vocabulary: Token ids.
        prefix: How WordPiece's tokens inside a word begin; None for WordLevel.
        longest_word: Characters of a word that WordPiece still looks at.
        unknown: Id of what the vocabulary does not have.
        special: Tokens that are found in the text as it stands.
        single: The template of one text.
        pair: The template of two.
    """

    before: Sequence[Change]
    decomposition: Sequence[Change] | None
    marks: Sequence[Marked]
    after: Sequence[Change]
    kinds: Sequence[Marked]
    vocabulary: Mapping[str, int]
    prefix: str | None
    longest_word: int
    unknown: int
    special: Mapping[str, int]
    single: Sequence[Place]
    pair: Sequence[Place]


def check_tokenizer(text: str, target: str) -> None:
    """Refuse a tokenizer that `tables_of` has no tables for.

    Args:
        text: The `tokenizer.json`.
        target: What cannot hold it, for the message.

    Raises:
        InputError: Part of it is of another kind.
    """
    document = json.loads(text)
    model = document["model"]
    _check_type("model", model, MODELS, target)
    for one in _flat(document["normalizer"], "normalizers"):
        _check_type("normalizer", one, NORMALIZERS, target)
        if one["type"] == "Replace" and not _replaces_one_character(one):
            pattern = next(iter(one["pattern"].values()))
            raise _refused(f"replaces {pattern!r}", "single characters alone", target)
    decompositions = [one for one in _steps(document["normalizer"]) if _decomposes(one)]
    if len(decompositions) > 1:
        raise _refused("decomposes characters twice", "NFD or NFKD once", target)
    _check_type("pre-tokenizer", document["pre_tokenizer"], PRE_TOKENIZERS, target)
    if document["post_processor"] is not None:
        _check_type("post-processor", document["post_processor"], POST_PROCESSORS, target)
    for token in document["added_tokens"]:
        if token["normalized"] or token["single_word"] or token["lstrip"] or token["rstrip"]:
            raise _refused(
                f"finds {token['content']!r} in normalized text, as a whole word or with the space "
                "around it",
                "special tokens that are taken as they stand",
                target,
            )
    if model["unk_token"] not in model["vocab"]:
        raise _refused(
            f"has no token {model['unk_token']!r}", "a vocabulary with the unknown token", target
        )


def tables_of(text: str) -> Tables:
    """The tables of a tokenizer that `check_tokenizer` let pass.

    Args:
        text: The `tokenizer.json`, its truncation and padding unset.
    """
    document = json.loads(text)
    model = document["model"]
    steps = _steps(document["normalizer"])
    split = next((i for i, one in enumerate(steps) if _decomposes(one)), len(steps))
    decompose = _normalizer(steps[split : split + 1])
    decomposed = split < len(steps)
    if decomposed and not hangul_is_arithmetic(decompose):
        raise AssertionError("this release of tokenizers decomposes Hangul in another way")
    decomposition = changes(decompose, without=HANGUL) if decomposed else []
    gone = {point for one in decomposition for point in range(one.first, one.last + 1)}
    tokenizer = Tokenizer.from_str(text)
    pre_tokenizer = tokenizer.pre_tokenizer
    return Tables(
        before=changes(_normalizer(steps[:split])) if decomposed else (),
        decomposition=decomposition if decomposed else None,
        marks=combining_classes(decompose) if decomposed else (),
        after=changes(
            _normalizer(steps[split + 1 :] if decomposed else steps),
            without={*gone, *HANGUL} if decomposed else (),
        ),
        kinds=kinds(lambda some: [word for word, _ in pre_tokenizer.pre_tokenize_str(some)]),
        vocabulary=model["vocab"],
        prefix=model["continuing_subword_prefix"] if model["type"] == "WordPiece" else None,
        longest_word=model.get("max_input_chars_per_word", 0),
        unknown=model["vocab"][model["unk_token"]],
        special={token["content"]: token["id"] for token in document["added_tokens"]},
        single=_template(tokenizer, "a"),
        pair=_template(tokenizer, "a", "a"),
    )


def _flat(normalizer: _Document | None, key: str) -> list[_Document]:
    if normalizer is None:
        return []
    if normalizer["type"] == "Sequence":
        return [one for part in normalizer[key] for one in _flat(part, key)]
    return [normalizer]


def _steps(normalizer: _Document | None) -> list[_Document]:
    """The normalizer as steps that decompose or work on one character, in order."""
    steps: list[_Document] = []
    for one in _flat(normalizer, "normalizers"):
        if one["type"] != "BertNormalizer":
            steps.append(one)
            continue
        lowercase = one["lowercase"]
        strips = lowercase if one["strip_accents"] is None else one["strip_accents"]
        steps.append({**one, "strip_accents": False, "lowercase": False})
        if strips:
            steps.append({"type": "NFD"})
        rest = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": strips}
        steps.append({**one, **rest})
    return steps


def _decomposes(step: _Document) -> bool:
    return step["type"] in {"NFD", "NFKD"}


def _normalizer(steps: Sequence[_Document]) -> Normalize:
    if not steps:
        return str
    document = {
        "version": "1.0",
        "normalizer": {"type": "Sequence", "normalizers": list(steps)},
        "model": {"type": "WordLevel", "vocab": {}, "unk_token": ""},
    }
    normalize: Normalize = Tokenizer.from_str(json.dumps(document)).normalizer.normalize_str
    return normalize


def _replaces_one_character(replace: _Document) -> bool:
    pattern = replace["pattern"]
    if "String" in pattern:
        return len(pattern["String"]) == 1
    return _ONE_CHARACTER.fullmatch(pattern["Regex"]) is not None


def _template(tokenizer: Tokenizer, text: str, second: str | None = None) -> list[Place]:
    """What stands around the tokens of texts of one token each, as the tokenizer itself puts it."""
    encoding = tokenizer.encode(text, second)
    names: dict[int | None, Literal["token", "first", "second"]]
    names = {None: "token", 0: "first", 1: "second"}
    return [
        Place(kind=names[which], token=token if which is None else 0, type=kind)
        for token, kind, which in zip(
            encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True
        )
    ]


def _check_type(
    part: str, document: _Document | None, supported: Sequence[str], target: str
) -> None:
    if document is None or document["type"] not in supported:
        found = "none" if document is None else document["type"]
        raise _refused(f"has the {part} {found}", f"one of {', '.join(supported)}", target)


def _refused(problem: str, expected: str, target: str) -> InputError:
    return InputError(
        f"the model's tokenizer {problem}, which the target {target} has no code for",
        expected=expected,
        fix="--target python, node or web: their tokenizer library has all kinds",
    )
