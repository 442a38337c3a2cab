"""Checkpoints that cannot be exported: exit code 3, and a message that names the file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from tests.export.checkpoints import (
    bert_checkpoint,
    byte_level_tokenizer,
    gpt2_checkpoint,
    roberta_checkpoint,
    save,
)
from toolkit.cli.main import main
from toolkit.errors import ToolkitWarning
from toolkit.export.checkpoint import CheckpointOptions, Opened
from toolkit.export.checkpoint.files import read_files
from toolkit.export.checkpoint.tokenizers import write_tokenizer

pytestmark = pytest.mark.torch


CHOSEN = {
    "BertForSequenceClassification": "text-classification",
    "BertModel": "feature-extraction",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bert_checkpoint(tmp_path / "model", num_hidden_layers=1)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Export what must be refused, and give the message."""

    def export(path: Path, *options: str) -> str:
        output = tmp_path / "out.ortpackage"
        capsys.readouterr()
        assert main(["export", str(path), "-o", str(output), *options]) == 3
        assert not output.exists()
        printed = capsys.readouterr()
        assert not printed.out
        (message,) = re.findall(r"error: .*", printed.err, re.DOTALL)
        return str(message)

    return export


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_a_directory_that_is_no_checkpoint(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing")
    message = refused(tmp_path / "notes")
    assert str(tmp_path / "notes") in message
    assert "checkpoint directory" in message
    assert str(tmp_path / "away") in refused(tmp_path / "away")


def test_weights_without_a_configuration(model: Path, refused: Callable[..., str]) -> None:
    (model / "config.json").unlink()
    message = refused(model)
    assert f"{model / 'config.json'} is missing" in message
    assert ".gguf" in message


def test_a_configuration_without_weights(model: Path, refused: Callable[..., str]) -> None:
    (model / "model.safetensors").unlink()
    message = refused(model)
    assert f"{model} has a configuration but no weights" in message
    assert "model.safetensors" in message


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_a_configuration_that_is_none(
    content: str, model: Path, refused: Callable[..., str]
) -> None:
    (model / "config.json").write_bytes(content.encode("latin-1"))
    assert str(model / "config.json") in refused(model)


@pytest.mark.parametrize("kind", ["perceptron-9", None])
def test_an_unknown_architecture(
    kind: str | None, model: Path, refused: Callable[..., str]
) -> None:
    edit(model / "config.json", model_type=kind)
    message = refused(model)
    assert str(model / "config.json") in message
    assert "model_type" in message


def test_model_code_of_its_own_is_not_run(model: Path, refused: Callable[..., str]) -> None:
    trap = model.parent / "ran"
    (model / "modeling.py").write_text(f"open({str(trap)!r}, 'w')")
    edit(
        model / "config.json",
        model_type=None,
        auto_map={"AutoConfig": "modeling.C", "AutoModelForSequenceClassification": "modeling.M"},
    )
    assert "auto_map" in refused(model)
    edit(model / "config.json", model_type="mine")
    assert str(model / "config.json") in refused(model)
    assert not trap.exists()


def test_a_configuration_that_does_not_say_what_the_model_is_for(
    model: Path, refused: Callable[..., str]
) -> None:
    for named in (None, ["BertForNothing"], ["BertForPreTraining"]):
        edit(model / "config.json", architectures=named)
        message = refused(model)
        assert str(model) in message
        assert "--task text-classification" in message


def test_a_task_that_the_model_has_no_head_for(
    model: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    message = refused(model, "--task", "text-to-text")
    assert str(model) in message
    assert "bert has no head for 'text-to-text'" in message
    assert "token-classification" in message
    # It has the class, but the checkpoint not its weights.
    message = refused(model, "--task", "question-answering")
    assert f"{model / 'model.safetensors'} has no weights for 2 parts" in message
    assert "qa_outputs" in message
    decoder = gpt2_checkpoint(tmp_path / "decoder")
    assert "gpt2 has no head for 'fill-mask'" in refused(decoder, "--task", "fill-mask")


def test_a_head_that_was_trained_for_another_task(model: Path, refused: Callable[..., str]) -> None:
    message = refused(model, "--task", "token-classification")
    assert f"{model / 'config.json'}: the head of BertForSequenceClassification" in message
    assert "--task text-classification" in message


def test_weights_of_another_shape(model: Path, refused: Callable[..., str]) -> None:
    edit(model / "config.json", intermediate_size=56)
    message = refused(model)
    assert f"{model / 'model.safetensors'} holds bert.encoder.layer.0." in message
    assert re.search(r"\[48(, 32)?\], where the configuration says \[56(, 32)?\]", message)


@pytest.mark.parametrize("head", ["BertForSequenceClassification", "BertModel"])
def test_weights_that_are_incomplete(
    head: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    path = bert_checkpoint(tmp_path / "cut", head, num_hidden_layers=1)
    edit(path / "config.json", architectures=[head])
    weights = load_file(path / "model.safetensors")
    lost = [key for key in weights if "intermediate" in key]
    kept = {key: value for key, value in weights.items() if key not in lost}
    save_file(kept, path / "model.safetensors", {"format": "pt"})
    message = refused(path, "--task", CHOSEN[head])
    assert f"{path / 'model.safetensors'} is incomplete: 2 weights of {head}" in message
    assert all(key in message for key in lost)
    assert "feature-extraction" not in message


def test_a_shard_that_is_missing(model: Path, refused: Callable[..., str]) -> None:
    weights = load_file(model / "model.safetensors")
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    where = {key: names[i % 2] for i, key in enumerate(weights)}
    for name in names:
        save_file({key: weights[key] for key in weights if where[key] == name}, model / name)
    (model / "model.safetensors").unlink()
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (model / names[1]).unlink()
    message = refused(model)
    assert f"{model / names[1]} is missing, 1 of 2 shards" in message
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weights, "../elsewhere.safetensors")}))
    assert "elsewhere.safetensors is missing" in refused(model)
    index.write_text(json.dumps({"metadata": {}}))
    assert f"{index} has no weight_map" in refused(model)


@pytest.mark.parametrize("left", [0, 5, 300, -1])
def test_safetensors_that_were_cut(left: int, model: Path, refused: Callable[..., str]) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    assert str(file) in refused(model)


def test_a_pickle_is_not_loaded_unasked(model: Path, refused: Callable[..., str]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (model.parent / "ran",))

    (model / "model.safetensors").unlink()
    torch.save({"trap": Trap()}, model / "pytorch_model.bin")
    message = refused(model)
    assert str(model / "pytorch_model.bin") in message
    assert "--trust-pickle" in message
    # Asked to, transformers loads tensors and nothing else.
    assert str(model / "pytorch_model.bin") in refused(model, "--trust-pickle")
    assert not (model.parent / "ran").exists()


def test_a_tokenizer_of_another_model(
    model: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    other = roberta_checkpoint(tmp_path / "other", num_hidden_layers=1)
    (model / "tokenizer.json").write_bytes((other / "tokenizer.json").read_bytes())
    message = refused(model)
    assert str(model) in message
    assert re.search(r"token ids up to \d+, the model has 110", message)


def test_a_vocabulary_that_was_built_empty(model: Path, refused: Callable[..., str]) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    empty = Tokenizer(models.WordPiece(dict(zip(special, range(5), strict=True))))
    empty.save(str(model / "tokenizer.json"))
    message = refused(model)
    assert str(model) in message
    assert "knows 5 tokens, the model 110" in message


def test_no_tokenizer(model: Path, refused: Callable[..., str]) -> None:
    (model / "tokenizer.json").write_text('{"version": "1.0"}')
    assert f"{model / 'tokenizer.json'} is no tokenizer" in refused(model)
    (model / "tokenizer.json").unlink()
    assert f"{model / 'tokenizer.json'} is missing" in refused(model)
    (model / "tokenizer_config.json").unlink()
    assert f"{model / 'tokenizer.json'} is missing" in refused(model)


def test_a_length_that_the_model_has_no_positions_for(
    model: Path, refused: Callable[..., str]
) -> None:
    message = refused(model, "--max-length", "65")
    assert str(model) in message
    assert "2 to 64" in message


@pytest.mark.parametrize("kind", ["ViT", "ResNet"])
def test_features_of_images(kind: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    sizes: dict[str, dict[str, Any]] = {
        "ViT": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1},
        "ResNet": {"embedding_size": 8, "hidden_sizes": [8], "depths": [1]},
    }
    config = getattr(transformers, f"{kind}Config")(**sizes[kind])
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path / "images")
    message = refused(tmp_path / "images")
    assert f"{tmp_path / 'images' / 'config.json'}: {kind}Model takes pixel_values" in message


def test_a_decoder_without_a_cache_of_keys_and_values(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    tokenizer = byte_level_tokenizer()
    config = transformers.MambaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, state_size=4
    )
    save(tmp_path / "mamba", transformers.MambaForCausalLM(config), tokenizer)
    message = refused(tmp_path / "mamba")
    assert str(tmp_path / "mamba" / "config.json") in message
    assert "mamba" in message


def test_a_gguf_file_of_another_kind_or_of_none(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "none.gguf").write_bytes(b"no magic")
    message = refused(tmp_path / "none.gguf")
    assert f"{tmp_path / 'none.gguf'} cannot be read as GGUF" in message
    gguf: Any = pytest.importorskip("gguf", reason="gguf, which writes such files, is missing")
    writer = gguf.GGUFWriter(tmp_path / "clip.gguf", "clip")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    message = refused(tmp_path / "clip.gguf")
    assert f"{tmp_path / 'clip.gguf'} cannot be read as GGUF" in message
    assert "architecture clip" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(
    value: float, model: Path, refused: Callable[..., str]
) -> None:
    weights = load_file(model / "model.safetensors")
    weights["classifier.weight"][0, 1] = value
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    message = refused(model)
    assert f"{model / 'model.safetensors'}: the weight 'classifier.weight' has 1 of 64" in message


def with_rows(path: Path, rows: int) -> Path:
    """Give a BERT more rows of its embedding than its tokenizer has tokens."""
    kind: Any = transformers.BertForSequenceClassification
    wider = kind.from_pretrained(path)
    wider.resize_token_embeddings(rows)
    wider.save_pretrained(path)
    return path


def test_a_tokenizer_far_smaller_than_the_model(model: Path, refused: Callable[..., str]) -> None:
    message = refused(with_rows(model, 1230))
    assert f"{model / 'tokenizer.json'} knows 110 tokens, the model has 1,230 rows" in message


def test_a_tokenizer_somewhat_smaller_than_the_model(model: Path) -> None:
    opened = Opened(
        read_files(with_rows(model, 130), trust_pickle=False), CheckpointOptions(), model
    )
    with pytest.warns(ToolkitWarning, match="knows 110 tokens, the model has 130 rows"):
        write_tokenizer(opened, model.parent / "preprocessing")


def test_a_pointer_of_git_lfs_in_place_of_a_file(model: Path, refused: Callable[..., str]) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (model / "tokenizer.json").write_text(pointer)
    assert f"{model / 'tokenizer.json'} is a Git LFS pointer" in refused(model)
    (model / "model.safetensors").write_text(pointer)
    message = refused(model)
    assert f"{model / 'model.safetensors'} is a Git LFS pointer" in message
    assert f"git -C {model} lfs pull" in message
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "pytorch_model.bin is a Git LFS pointer" in refused(model, "--trust-pickle")
    (model / "pytorch_model.bin").rename(model / "model.gguf")
    assert "model.gguf is a Git LFS pointer" in refused(model / "model.gguf")


@pytest.mark.parametrize("left", [-1, -3000, 100, 40])
def test_a_gguf_file_that_was_cut(left: int, tmp_path: Path, refused: Callable[..., str]) -> None:
    gguf: Any = pytest.importorskip("gguf", reason="gguf, which writes such files, is missing")
    file = tmp_path / "cut.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((64, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.write_bytes(file.read_bytes()[:left])
    assert f"{file} is shorter than its header says" in refused(file)


def test_one_file_of_a_checkpoint(model: Path, refused: Callable[..., str]) -> None:
    for name in ("model.safetensors", "config.json"):
        message = refused(model / name)
        assert f"{model / name} is one file of a checkpoint" in message
        assert f"toolkit export {model} -o" in message


def test_inference_of_a_checkpoint(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", str(model), "a text"]) == 3
    message = capsys.readouterr().err
    assert f"{model} is a checkpoint, which has to be exported first" in message
    assert f"toolkit export {model} -o" in message
