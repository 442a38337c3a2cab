"""What peers do in their processes, called here."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.profiling.tiny_checkpoint import tiny_checkpoint
from toolkit.errors import InputError, SetupError
from toolkit.npz import read_npz, write_npz
from toolkit.profiling import peers
from toolkit.profiling.peers import Made


def test_an_output_may_have_the_name_of_an_option_of_numpy(tmp_path: Path) -> None:
    made = Made(run=lambda: None, outputs=lambda: {"file": np.ones(2, np.float32)})
    made.save(str(tmp_path / "0.npz"))
    assert read_npz(tmp_path / "0.npz")["file"].tolist() == [1, 1]


@pytest.mark.torch
def test_a_checkpoint_answers_as_transformers_does(tmp_path: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    token_ids = np.array([[1, 9, 3]])
    (tmp_path / "feeds.npz").write_bytes(write_npz({"input_ids": token_ids}))
    made = peers.torch(source=str(checkpoint), feeds=str(tmp_path / "feeds.npz"))
    model = BertForSequenceClassification.from_pretrained(checkpoint)  # in evaluation mode
    with torch.inference_mode():
        expected = model(input_ids=torch.from_numpy(token_ids)).logits.numpy()
    outputs = made.outputs()
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-6)
    assert made.facts["torch"] == torch.__version__


@pytest.mark.torch
def test_a_checkpoint_without_transformers_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SetupError, match="transformers cannot be imported") as caught:
        peers.torch(source=str(tmp_path), feeds="")
    assert "onnx-edge-toolkit[export]" in caught.value.fix


def test_optimum_is_never_asked_to_fetch_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("optimum", "optimum.onnxruntime", "transformers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(InputError, match="bert-base is no checkpoint"):
        peers.optimum(source="bert-base", feeds="")
