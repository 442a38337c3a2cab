"""The older exporter of torch: what it freezes is found, as it is compared at the longest text."""

import json
from pathlib import Path

import pytest

from tests.export.checkpoints import bert_checkpoint, labeled
from toolkit.errors import InputError
from toolkit.export import export
from toolkit.package import ModelPackage

pytestmark = pytest.mark.torch


def test_a_traced_graph_is_compared_at_the_most_tokens_too(tmp_path: Path) -> None:
    source = bert_checkpoint(tmp_path / "bert", num_hidden_layers=1, max_position_embeddings=150)
    file = source / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 150}))
    report = export(source, tmp_path / "a.ortpackage", tolerance=1e-5)
    assert (report.exporter, report.attempts) == ("torch.onnx (TorchScript)", ())
    longest = max(shape["sequence"] for shape in report.parity.shapes)
    assert longest == 150
    with pytest.raises(InputError, match="torchscript knows no opset 21"):
        export(source, tmp_path / "b.ortpackage", exporter="torchscript", opset=21)


@pytest.mark.parametrize(
    "head, wanted",
    [
        ("BertForSequenceClassification", ("batch", 3)),
        ("BertForTokenClassification", ("batch", "sequence", 3)),
    ],
)
def test_sizes_of_outputs_have_the_names_of_the_inputs(
    head: str, wanted: tuple[int | str, ...], tmp_path: Path
) -> None:
    source = bert_checkpoint(
        tmp_path / "bert", head, num_hidden_layers=1, **labeled(("a", "b", "c"))
    )
    export(source, tmp_path / "a.ortpackage", exporter="torchscript")
    (output,) = ModelPackage.open(tmp_path / "a.ortpackage").outputs
    assert output.shape == wanted
