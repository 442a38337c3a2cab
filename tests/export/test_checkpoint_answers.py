"""Question answering against the pipeline of transformers 4.57, the last that had one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.export.checkpoints import bert_checkpoint, deberta_checkpoint, roberta_checkpoint
from tests.export.test_checkpoint_texts import Answering
from toolkit.errors import InputError
from toolkit.tasks import Result, TaskOptions

pytestmark = pytest.mark.torch

Make = Callable[..., Path]
FAMILIES = [
    pytest.param(bert_checkpoint, "Bert", id="bert"),
    pytest.param(roberta_checkpoint, "Roberta", id="roberta"),
    pytest.param(deberta_checkpoint, "DebertaV2", id="deberta"),
]
SHORT = "Anna Schmidt moved to Toronto in 2019."
LONG = (
    "Anna Schmidt moved from Lisbon to Toronto in 2019 to work for the Red Cross. The plot makes "
    "no sense and the acting is wooden, yet one forgives it: what an ending! I left the cinema."
)
QUESTIONS = [
    {"question": question, "context": context}
    for context in (SHORT, LONG)
    for question in ("Where?", "When did Anna move?", "Who forgives it?")
]
OLD_PYTHON = Path(sys.prefix).parent / ".venv-optimum" / "bin" / "python"
OLD_PIPELINE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import transformers
path, questions = sys.argv[1], json.loads(sys.argv[2])
model = transformers.AutoModelForQuestionAnswering.from_pretrained(path)
tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(path)
ask = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
answers = [[ask(**q, handle_impossible_answer=no) for q in questions] for no in (False, True)]
print(json.dumps(answers))
"""


def windows_of(path: Path, question: dict[str, str]) -> list[dict[str, Any]]:
    """Of each window, as transformers cuts them: logits, and where its tokens stand."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path)
    model: Any = transformers.AutoModelForQuestionAnswering.from_pretrained(path).eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    names = names if model.config.type_vocab_size > 1 else names[:2]
    cut = tokenizer(
        question["question"],
        question["context"],
        truncation="only_second",
        max_length=64,
        stride=32,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    windows = []
    for number in range(len(cut["input_ids"])):
        feeds = {name: torch.tensor([cut[name][number]]) for name in names}
        with torch.no_grad():
            said = model(**feeds)
        windows.append(
            {
                "start": said.start_logits[0].double().numpy(),
                "end": said.end_logits[0].double().numpy(),
                "in_context": np.array([owner == 1 for owner in cut.sequence_ids(number)]),
                "ids": cut["input_ids"][number],
            }
        )
    return windows


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_windows_are_cut_as_transformers_cuts_them(make: Make, prefix: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", f"{prefix}ForQuestionAnswering")
    answer = Answering(path, tmp_path / "work")
    text = answer.specification.text
    assert text is not None
    assert (text.max_length, text.stride) == (64, 32)
    batch = answer.task().prepare(QUESTIONS)
    wanted = [windows_of(path, question) for question in QUESTIONS]
    assert batch.rows == tuple(i for i, windows in enumerate(wanted) for _ in windows)
    assert max(map(len, wanted)) > 1
    ids, mask = batch.feeds["input_ids"], batch.feeds["attention_mask"]
    rows = [row[real == 1].tolist() for row, real in zip(ids, mask, strict=True)]
    assert rows == [window["ids"] for windows in wanted for window in windows]
    assert set(ids[mask == 0].tolist()) == {text.pad_id}


@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_an_answer_is_the_likeliest_span(make: Make, prefix: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", f"{prefix}ForQuestionAnswering")
    for question, result in zip(
        QUESTIONS, Answering(path, tmp_path / "work")(QUESTIONS), strict=True
    ):
        best, null = 0.0, 1.0
        for window in windows_of(path, question):
            allowed = window["in_context"] | (np.arange(len(window["in_context"])) == 0)
            chances = []
            for side in ("start", "end"):
                powers = np.exp(np.where(allowed, window[side], -np.inf))
                chances.append(powers / powers.sum())
            null = min(null, chances[0][0] * chances[1][0])
            places = np.flatnonzero(window["in_context"])
            spans = [(i, j) for i in places for j in places if i <= j < i + 15]
            best = max(best, *(chances[0][i] * chances[1][j] for i, j in spans))
        context = question["context"]
        assert result["answer"] == context[result["start"] : result["end"]] != ""
        assert result["score"] >= best - 1e-6  # spans within one word are one answer
        assert result["no_answer_score"] == pytest.approx(null, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not OLD_PYTHON.exists(), reason="needs .venv-optimum: make optimum")
@pytest.mark.parametrize("make, prefix", FAMILIES)
def test_answers_are_those_of_the_pipeline(make: Make, prefix: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", f"{prefix}ForQuestionAnswering")
    answer = Answering(path, tmp_path / "work")
    for no_answer, told in zip((False, True), _old_pipeline(path), strict=True):
        found = answer(QUESTIONS, TaskOptions(no_answer=no_answer))
        for question, result, wanted in zip(QUESTIONS, found, told, strict=True):
            if question["context"] is SHORT or len(windows_of(path, question)) == 1:
                assert _place(result) == _place(wanted)
                assert result["score"] == pytest.approx(wanted["score"], abs=1e-4)
            else:  # the pipeline adds up what several windows say
                assert result["score"] <= wanted["score"] + 1e-4


def _place(result: Result) -> tuple[Any, ...]:
    return result["start"], result["end"], result["answer"]


def _old_pipeline(path: Path) -> list[list[Result]]:
    """Answers without and with the possibility that there is none."""
    command = [OLD_PYTHON, "-c", OLD_PIPELINE, path, json.dumps(QUESTIONS)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    answers: list[list[Result]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_no_answer_is_an_answer_where_asked_for(tmp_path: Path) -> None:
    path = bert_checkpoint(tmp_path / "model", "BertForQuestionAnswering")
    answer = Answering(path, tmp_path / "work")
    answer.module.model.qa_outputs.weight.data.zero_()  # every place as likely as any other
    (usual,) = answer(QUESTIONS[:1])
    (allowed,) = answer(QUESTIONS[:1], TaskOptions(no_answer=True))
    assert usual["answer"]
    assert usual["no_answer_score"] == allowed["no_answer_score"] < usual["score"]
    assert allowed == usual  # several spans of one word are likelier than nothing

    def answers_with_nothing(module: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(1, torch.tensor([0]), 9.0)

    answer.module.model.qa_outputs.register_forward_hook(answers_with_nothing)
    (usual,) = answer(QUESTIONS[:1])
    (allowed,) = answer(QUESTIONS[:1], TaskOptions(no_answer=True))
    assert usual["answer"]
    assert _place(allowed) == (0, 0, "")
    assert allowed["score"] == allowed["no_answer_score"] > usual["score"]


def test_an_item_that_is_no_question_is_named(tmp_path: Path) -> None:
    answer = Answering(
        bert_checkpoint(tmp_path / "model", "BertForQuestionAnswering"), tmp_path / "work"
    )
    for wrong in ("Where?", {"question": "Where?"}, {"question": "Where?", "context": 3}):
        with pytest.raises(InputError, match="question 2 is"):
            answer([QUESTIONS[0], wrong])
    with pytest.raises(InputError, match="question 1 has an empty context"):
        answer([{"question": "Where?", "context": " "}])
    with pytest.raises(InputError, match=r"question 1 has \d\d tokens, which leaves room for"):
        answer([{"question": LONG, "context": LONG}])
    with pytest.raises(InputError, match="text 1 holds half a character"):
        answer([{"question": "Where?", "context": "in \udc80"}])
