"""Decoders of today's kinds, tiny and random, from checkpoint to text, beside transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.export.checkpoints import byte_level_tokenizer, save
from toolkit import load
from toolkit.errors import InputError, ToolkitWarning
from toolkit.export import export
from toolkit.generation import GenerationOptions, generate
from toolkit.generation.model import TextGenerator
from toolkit.inference import load as open_model
from toolkit.tasks import TaskOptions

pytestmark = [pytest.mark.torch, pytest.mark.slow]

PROMPTS = ("Anna Schmidt works in", "A gorgeous, witty film about a sequel", "Dull")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,  # fewer than heads, as all of this size and above have
    "initializer_range": 0.3,
    "max_position_embeddings": 64,
}


def checkpoint(path: Path, kind: str, **settings: Any) -> Path:
    tokenizer = byte_level_tokenizer()
    end = tokenizer.token_to_id("</s>")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=tokenizer.get_vocab_size(),
        pad_token_id=tokenizer.token_to_id("<pad>"),
        bos_token_id=tokenizer.token_to_id("<s>"),
        eos_token_id=end,
        **SIZES,
        **settings,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    return save(path, model, tokenizer)


@pytest.fixture(scope="module", params=["Qwen2", "Mistral"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    # Mistral looks back at fewer tokens than the prompts have.
    window = {"sliding_window": 6} if request.param == "Mistral" else {}
    source = checkpoint(folder / "checkpoint", request.param, **window)
    report = export(source, folder / "made.ortpackage")
    assert report.parity.max_abs_error <= report.parity.limit
    return source, report.package


def test_greedy_tokens_are_those_of_transformers(made: tuple[Path, Path]) -> None:
    source, package = made
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(source)
    theirs = library.AutoModelForCausalLM.from_pretrained(source).eval()
    model = load(package)
    assert isinstance(model, TextGenerator)
    decoder, answers = model.begin([*PROMPTS], [1, 2, 3], GenerationOptions(max_new_tokens=24))
    for _ in generate(decoder, answers, pad_id=0):
        pass
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        feeds = tokenizer(prompt, return_tensors="pt")
        (row,) = theirs.generate(
            input_ids=feeds["input_ids"],
            attention_mask=feeds["attention_mask"],
            max_new_tokens=24,
            do_sample=False,
        )
        wanted = row[feeds["input_ids"].shape[1] :].tolist()
        end = theirs.config.eos_token_id
        assert answer.tokens == (wanted[: wanted.index(end)] if end in wanted else wanted)
        assert len(set(answer.tokens)) > 4  # something that can differ


def test_a_prompt_without_room_is_cut_or_refused_as_asked(made: tuple[Path, Path]) -> None:
    _, package = made
    options = GenerationOptions(max_new_tokens=4)
    long = "A gorgeous, witty film. " * 20
    with pytest.warns(ToolkitWarning, match="was cut to its last 60 tokens"):
        assert load(package)(long, options)["tokens"] <= 4  # type: ignore[call-overload]  # a Generator
    whole = open_model(package, reading=TaskOptions(truncate=False))
    with pytest.raises(InputError, match="there is room for 60") as refused:
        whole(long, options)  # type: ignore[call-overload]  # a Generator
    assert "--no-truncate" in refused.value.fix
    assert whole(PROMPTS[0], options)["text"]  # type: ignore[call-overload]  # a Generator
