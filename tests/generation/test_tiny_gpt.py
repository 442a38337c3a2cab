"""The recipe `models/tiny_gpt`, in a hurry, all the way to a quantized package."""

import json
from pathlib import Path

import pytest

from toolkit import evaluate, export, load, quantize, train, validate
from toolkit.generation import GenerationOptions
from toolkit.quantize import Limits
from toolkit.training import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.torch]
RECIPE = Path(__file__).parents[2] / "models" / "tiny_gpt" / "recipe.py"
UNIGRAM = 966
"""Perplexity of counting tokens (models/tiny_gpt/README.md)."""


def test_it_is_trained_exported_quantized_and_continues_texts(tmp_path: Path) -> None:
    report = train(RECIPE, tmp_path / "run", fast=True)
    assert report.metrics["test"].metrics["perplexity"].value < 0.75 * UNIGRAM
    package = export(tmp_path / "run", tmp_path / "tiny_gpt.ortpackage").package

    texts = [*load_recipe(RECIPE).load(load_recipe(RECIPE).settings).test.items]
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[:60]))
    everything = tmp_path / "everything.jsonl"
    everything.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    measured = evaluate(package, everything).metrics["perplexity"].value
    assert measured == pytest.approx(report.metrics["test"].metrics["perplexity"].value, rel=1e-3)

    found = quantize(package, data, methods=["blockwise"], limits=Limits(max_batch_flips=3))
    assert found.chosen == "int4"
    assert found.candidates[0].size_bytes < 0.4 * found.parent.size_bytes
    assert validate(package, data=data).passed
    options = GenerationOptions(max_new_tokens=6)
    for variant in ("fp32", "int4"):
        answer = load(package, variant=variant)("the film", options)  # type: ignore[call-overload]  # a Generator
        assert answer["text"].startswith(" ")
        assert answer["tokens"] <= 6
