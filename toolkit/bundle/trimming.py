"""A smaller vocabulary: the tokens of the user's own texts, in the tokenizer and in the graph."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tokenizers import Tokenizer

from toolkit.bundle.cases import limit_of
from toolkit.bundle.tables import cut_tables
from toolkit.errors import CheckFailedError, InputError
from toolkit.evaluate.samples import SampleOptions, read_samples
from toolkit.inputs import file_items
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import Task, TaskSpec, open_task
from toolkit.tasks.text import input_fields

COMPARED = 64
"""Texts whose outputs are compared before and after: rows are copied, so that few tell all."""

_WHOLE_WORDS = ("WordPiece", "WordLevel")
"""Tokenizers whose tokens stand for themselves; BPE's are made by merges of others, and Unigram
weighs all of them against each other, so that taking some away changes what remains."""

Text = str | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """What was made of the vocabulary.

    Attributes:
        task: The task with the new id of padding.
        note: How much was saved, and what was compared, for people.
    """

    task: TaskSpec
    note: str


def read_texts(file: Path, task: TaskSpec) -> list[Text]:
    """The texts whose tokens are kept.

    Args:
        file: One a line, or a data file: .csv or .jsonl, also .gz.
        task: What the model is for.

    Raises:
        InputError: The model takes no texts, or the file has none or cannot be read.
    """
    if task.text is None:
        raise InputError(
            f"--trim was given, but a model for {task.name} has no vocabulary",
            expected="a model of texts",
            fix="leave --trim out",
        )
    if {".csv", ".jsonl", ".ndjson", ".gz"} & {*file.suffixes}:
        items: Sequence[Any] = read_samples(file, task, SampleOptions(labels=False)).items
    else:
        items = file_items(file, "lines", task)
    if not items:
        raise InputError(f"{file} is empty", expected="texts such as the app will get, one a line")
    return [*items]


def trim_vocabulary(
    graph: Path,
    tokenizer: Path,
    task: TaskSpec,
    texts: Sequence[Text],
    *,
    precision: str,
    session_options: Mapping[str, str],
) -> Trimmed:
    """Leave the tokens of some texts in a tokenizer and a graph, and replace both files.

    Kept are the tokens of the texts, special and added ones, the unknown one, and every single
    character at the beginning of a word and inside it, so that words which the texts do not have
    can still be spelled. The tables lose the other rows; all else stays.

    Args:
        graph: The `.onnx` file.
        tokenizer: The `tokenizer.json`, its truncation and padding unset.
        task: What the model is for.
        texts: At least one, or pairs of texts.
        precision: Of the graph: what its outputs may differ by.
        session_options: ONNX Runtime's session options for it.

    Raises:
        InputError: The tokenizer is of another kind, or the graph uses token ids or the table in
            ways that leave no room for it.
        CheckFailedError: The texts have other tokens afterwards, or other answers.
    """
    assert task.text is not None
    before = graph.stat().st_size + tokenizer.stat().st_size
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    _check_kind(content)
    whole = Tokenizer.from_str(tokenizer.read_text(encoding="utf-8"))
    tokens = _tokens(whole, texts)
    kept = sorted({*_always(content), task.text.pad_id, *(i for ids in tokens for i in ids)})
    new_ids = {old: new for new, old in enumerate(kept)}
    spec = msgspec.structs.replace(
        task, text=msgspec.structs.replace(task.text, pad_id=new_ids[task.text.pad_id])
    )
    compared = [texts[i] for i in _spread(len(texts))]
    session = _open(graph, session_options)
    expected = _answers(session, open_task(task, tokenizer.parent, session.inputs), compared)
    ids_name = next(name for name, field, _ in input_fields(session.inputs) if field == "ids")

    cut_tables(graph, ids_name, kept)
    smaller = _remapped(content, new_ids)
    tokenizer.write_text(json.dumps(smaller, ensure_ascii=False), encoding="utf-8")

    found = _tokens(Tokenizer.from_str(json.dumps(smaller)), texts)
    changed = sum(new != [new_ids[i] for i in old] for old, new in zip(tokens, found, strict=True))
    session = _open(graph, session_options)
    answers = _answers(session, open_task(spec, tokenizer.parent, session.inputs), compared)
    difference = max(
        float(np.abs(new.astype(np.float64) - old).max(initial=0))
        for old, new in zip(expected, answers, strict=True)
    )
    limit = limit_of(precision, max(float(np.abs(one).max(initial=0)) for one in expected))
    if changed or not difference <= limit:
        raise CheckFailedError(
            f"without the other tokens {changed} of {len(texts)} texts have other tokens, and "
            f"answers differ by {difference:.2g}",
            expected=f"the same tokens, and answers that differ by no more than {limit:.2g}",
            fix="leave --trim out",
        )
    saved = before - graph.stat().st_size - tokenizer.stat().st_size
    return Trimmed(
        task=spec,
        note=f"vocabulary: {len(kept):,} of {whole.get_vocab_size():,} tokens kept, "
        f"{saved / 1e6:.2f} of {before / 1e6:.2f} MB saved; of {len(texts):,} texts none has other "
        f"tokens, and the answers to {len(compared)} differ by {difference:.2g}",
    )


def _check_kind(content: Mapping[str, Any]) -> None:
    kind = content["model"]["type"]
    if kind not in _WHOLE_WORDS:
        raise InputError(
            f"the vocabulary of a {kind} tokenizer cannot be trimmed: its tokens depend on each "
            "other, so that texts would get other ones",
            expected=f"a tokenizer of {' or '.join(_WHOLE_WORDS)}",
            fix="leave --trim out",
        )


def _tokens(tokenizer: Tokenizer, texts: Sequence[Text]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast([*texts])]


def _always(content: Mapping[str, Any]) -> Iterable[int]:
    """The ids that are kept whatever the texts are."""
    model = content["model"]
    vocabulary, unknown = model["vocab"], model.get("unk_token")
    yield from (token["id"] for token in content["added_tokens"])
    if unknown in vocabulary:
        yield vocabulary[unknown]
    if model["type"] == "WordPiece":
        prefix = model["continuing_subword_prefix"]
        yield from (i for token, i in vocabulary.items() if len(token.removeprefix(prefix)) == 1)


def _spread(count: int) -> Iterable[int]:
    """Positions all over a list."""
    return sorted({*np.linspace(0, count - 1, min(COMPARED, count)).astype(int).tolist()})


def _open(graph: Path, session_options: Mapping[str, str]) -> Session:
    return open_session(graph, SessionOptions(threads=1), config=session_options)


def _answers(session: Session, task: Task, texts: Iterable[Text]) -> list[np.ndarray[Any, Any]]:
    return [output for text in texts for output in session.run(task.encode([text])).values()]


def _remapped(content: Mapping[str, Any], new_ids: Mapping[int, int]) -> dict[str, Any]:
    """A `tokenizer.json` with the kept tokens alone, under their new ids."""
    vocabulary = content["model"]["vocab"]
    kept = {token: new_ids[i] for token, i in vocabulary.items() if i in new_ids}
    return {
        **content,
        "added_tokens": [
            {**token, "id": new_ids[token["id"]]} for token in content["added_tokens"]
        ],
        "post_processor": _processor(content["post_processor"], new_ids),
        "model": {**content["model"], "vocab": kept},
    }


def _processor(content: Any, new_ids: Mapping[int, int]) -> Any:
    """A post-processor with new ids of the special tokens that it adds."""
    if content is None:
        return None
    found = dict(content)
    if content["type"] == "Sequence":
        found["processors"] = [_processor(one, new_ids) for one in content["processors"]]
    elif content["type"] == "TemplateProcessing":
        found["special_tokens"] = {
            name: {**token, "ids": [new_ids[i] for i in token["ids"]]}
            for name, token in content["special_tokens"].items()
        }
    elif content["type"] in {"BertProcessing", "RobertaProcessing"}:
        for name in ("sep", "cls"):
            token, old = content[name]
            found[name] = [token, new_ids[old]]
    return found
