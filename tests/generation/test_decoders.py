"""Packages of decoders answer as transformers does. Each export takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.generation.decoders import END_ID, ROOM, WINDOW, decoder_checkpoint
from toolkit import export, load, validate
from toolkit.cli.main import main
from toolkit.errors import InputError, ToolkitWarning
from toolkit.generation import GenerationOptions, generate
from toolkit.generation.model import TextGenerator
from toolkit.tasks import TaskOptions

pytestmark = [pytest.mark.slow, pytest.mark.torch]
PROMPTS = ("the film", "Anna Schmidt moved from Lisbon", "Why?")


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen3", "gemma3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return decoder_checkpoint(tmp_path_factory.mktemp("checkpoint") / request.param, request.param)


@pytest.fixture(scope="module")
def package(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("package") / f"{checkpoint.name}.ortpackage"
    report = export(checkpoint, made)
    assert report.parity.max_abs_error <= 1e-4
    shapes = [{**shape} for shape in report.parity.shapes]
    assert {"batch": 8, "sequence": ROOM, "past": 0} in shapes  # 128, as far as it has positions
    assert {"batch": 3, "sequence": 4, "past": 4} in shapes
    return made


@pytest.fixture(scope="module")
def model(package: Path) -> TextGenerator:
    found = load(package)
    assert isinstance(found, TextGenerator)
    return found


def tokens(model: TextGenerator, prompt: str, options: GenerationOptions) -> list[int]:
    decoder, answers = model.begin([prompt], [1], options)
    list(generate(decoder, answers, pad_id=0))
    (answer,) = answers
    return [*answer.tokens, *([END_ID] if answer.ended_by == "end" else [])]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_tokens_are_those_of_transformers(
    model: TextGenerator, checkpoint: Path, prompt: str
) -> None:
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    given = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        made = theirs.generate(**given, max_new_tokens=32, do_sample=False)
    wanted = made[0, given.input_ids.shape[1] :].tolist()
    assert len(wanted) > WINDOW  # past it, for those that have one
    assert tokens(model, prompt, GenerationOptions(max_new_tokens=32)) == wanted


def test_a_batch_answers_as_each_prompt_alone(model: TextGenerator) -> None:
    options = GenerationOptions(max_new_tokens=12)
    together = model(list(PROMPTS), options)
    assert [answer["text"] for answer in together] == [
        model(prompt, options)["text"] for prompt in PROMPTS
    ]
    assert len({answer["text"] for answer in together}) == len(PROMPTS)


def test_draws_repeat_with_their_seed_whatever_the_batch(model: TextGenerator) -> None:
    def drawn(seed: int, batch_size: int) -> list[str]:
        options = GenerationOptions(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=seed)
        return [a["text"] for a in model.batch(PROMPTS, batch_size=batch_size, options=options)]

    assert drawn(7, 3) == drawn(7, 1)
    assert drawn(7, 3) != drawn(8, 3)


def test_pieces_add_up_to_the_answer(model: TextGenerator) -> None:
    options = GenerationOptions(max_new_tokens=24)
    assert "".join(model.stream(PROMPTS[0], options)) == model(PROMPTS[0], options)["text"]


def test_a_long_prompt_keeps_its_end_and_leaves_room(model: TextGenerator) -> None:
    long = "witty " * ROOM
    with pytest.warns(ToolkitWarning, match="cut to its last 60 tokens"):
        answer = model(long, GenerationOptions(max_new_tokens=4))
    assert answer["tokens"] <= 4


def test_an_answer_that_there_is_no_room_for(model: TextGenerator, package: Path) -> None:
    options = GenerationOptions(max_new_tokens=4 * ROOM)
    strict = load(package, reading=TaskOptions(truncate=False))
    assert isinstance(strict, TextGenerator)
    with pytest.raises(InputError, match=f"may have {4 * ROOM} tokens .* room for {ROOM} together"):
        strict(PROMPTS[0], options)
    assert strict(PROMPTS[0], GenerationOptions(max_new_tokens=4))["tokens"] <= 4


def test_there_is_no_conversation_without_a_template(model: TextGenerator) -> None:
    with pytest.raises(InputError, match="no form of a conversation"):
        model("Hello", GenerationOptions(chat=True))


def test_validate_passes(package: Path) -> None:
    report = validate(package)
    assert {check.name for check in report.checks} >= {"reference outputs", "batch invariance"}
    assert report.passed, [check for check in report.checks if not check.passed]


def test_infer_streams_and_reports(
    package: Path, model: TextGenerator, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = model(PROMPTS[0], GenerationOptions(max_new_tokens=8))
    asked = ["infer", str(package), "--prompt", PROMPTS[0], "--max-new-tokens", "8"]
    assert main(asked) == 0
    assert capsys.readouterr().out == wanted["text"] + "\n"
    assert main([*asked, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert {**result, "tokens_per_s": 0} == {**wanted, "tokens_per_s": 0}
    assert result["tokens_per_s"] > 0
