"""The int8 variant of a run with quantization-aware training computes what was trained."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tests.training.qat_recipes import BERT
from tests.training.tiny import write
from toolkit import ModelPackage, export, load, train
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError
from toolkit.export import ExportReport, comparison
from toolkit.export.comparison import ExportParity
from toolkit.export.parts import TorchPart
from toolkit.export.rounding import NEAR_TIE, SameRoundings, rounded_names
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tensors import Array
from toolkit.training import open_run

pytestmark = [pytest.mark.torch, pytest.mark.slow]

MODELS = Path(__file__).parents[2] / "models"


def exported(folder: Path, recipe: Path, **settings: object) -> tuple[Path, ExportReport]:
    run = folder / "run"
    train(recipe, run, qat=True, settings=settings)
    return run, export(run, folder / "a.ortpackage")


@pytest.fixture(scope="module")
def mlp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    recipe = MODELS / "breast_cancer_mlp" / "recipe.py"
    return exported(tmp_path_factory.mktemp("mlp"), recipe, folds=0, max_epochs=8, patience=0)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    recipe = MODELS / "digits_cnn" / "recipe.py"
    return exported(tmp_path_factory.mktemp("cnn"), recipe, max_epochs=4, qat_epochs=2)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    folder = tmp_path_factory.mktemp("bert")
    return exported(folder, write(folder / "recipe", BERT))


def graph_of(report: ExportReport) -> Path:
    return report.package / "model" / "int8-qat" / "model.onnx"


def differences(run: Path, report: ExportReport, sizes: list[tuple[int, ...]]) -> list[float]:
    """The largest difference at batch sizes and sequence lengths, of a session as users open it."""
    opened, session = open_run(run), ort.InferenceSession(graph_of(report))
    module, found = opened.fake_quantized(), []
    for size in sizes:
        feeds: dict[str, Array] = dict(opened.reference_feeds)
        for axis, count in enumerate(size):
            feeds = {
                name: value.take(range(count), axis=axis, mode="wrap")
                for name, value in feeds.items()
            }
        with torch.no_grad():
            wanted = module(**{name: torch.from_numpy(value) for name, value in feeds.items()})
        found.append(float(np.abs(session.run(None, feeds)[0] - wanted.numpy()).max()))
    return found


def kinds(report: ExportReport) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(graph_of(report)).graph.node)


def stored(report: ExportReport, dtype: int) -> list[Array]:
    tensors = onnx.load(graph_of(report)).graph.initializer
    return [numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type == dtype]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_graph_gives_the_bits_of_the_trained_model_at_any_batch(
    name: str, request: pytest.FixtureRequest
) -> None:
    run, report = request.getfixturevalue(name)
    assert differences(run, report, [(1,), (2,), (5,), (64,), (257,)]) == [0.0] * 5
    made = report.quantized
    assert made is not None
    assert (made.parity.max_abs_error, made.parity.limit, made.roundings) == (0.0, 1e-3, None)
    assert len(made.parity.shapes) >= 5


def test_an_mlp_has_int8_weights_int32_biases_and_only_integer_products(
    mlp: tuple[Path, ExportReport],
) -> None:
    _run, report = mlp
    assert kinds(report)["QuantizeLinear"] == 3
    assert kinds(report)["DequantizeLinear"] == 9
    weights = [value for value in stored(report, TensorProto.INT8) if value.ndim == 2]
    assert sorted(value.size for value in weights) == [64, 64 * 30, 64 * 64]
    assert all(np.abs(value.astype(int)).max() <= 127 for value in weights)
    assert sorted(value.size for value in stored(report, TensorProto.INT32)) == [1, 64, 64]
    assert max(value.size for value in stored(report, TensorProto.FLOAT)) <= 64
    made = report.quantized
    assert made is not None
    assert made.operators["QGemm"] == 3
    assert "Gemm" not in made.operators


def test_a_cnn_runs_integer_convolutions_and_additions(cnn: tuple[Path, ExportReport]) -> None:
    _run, report = cnn
    made = report.quantized
    assert made is not None
    found = {name: made.operators.get(name, 0) for name in ("QLinearConv", "QLinearAdd", "QGemm")}
    assert found == {"QLinearConv": 6, "QLinearAdd": 2, "QGemm": 1}
    assert not {"Conv", "FusedConv", "Gemm", "Add"} & made.operators.keys()
    assert "BatchNormalization" not in kinds(report)
    fp32 = ModelPackage.open(report.package).variant("fp32").contents.size_bytes
    assert made.size_bytes < fp32 / 3


def test_the_package_says_how_the_variant_came_about(cnn: tuple[Path, ExportReport]) -> None:
    run, report = cnn
    package = ModelPackage.open(report.package)
    assert [variant.name for variant in package.variants] == ["fp32", "int8-qat"]
    contents = package.variant("int8-qat").contents
    assert (contents.precision, contents.method, contents.parent) == ("int8", "qat", "fp32")
    assert contents.details["trained"]["limit"] == 1e-3
    record = open_run(run).record
    assert record.qat is not None
    told = contents.details["metrics"]["test"]["metrics"]["accuracy"]["value"]
    assert told == record.qat.metrics["test"].metrics["accuracy"].value


def test_commands_take_the_variant(
    cnn: tuple[Path, ExportReport], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, report = cnn
    opened, package = open_run(run), str(report.package)
    assert main(["validate", package, "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["variant"] for check in checks if check["variant"]} == {"fp32", "int8-qat"}

    data = tmp_path / "digits.npz"
    recipe = MODELS / "digits_cnn" / "recipe.py"
    items, labels = digits(recipe)
    np.savez(data, image=items, label=labels)
    arguments = ["evaluate", package, "--data", str(data), "--variant", "int8-qat", "--json"]
    assert main(arguments) == 0
    accuracy = json.loads(capsys.readouterr().out)["metrics"]["accuracy"]
    assert opened.record.qat is not None
    trained = opened.record.qat.metrics["test"].metrics["accuracy"]
    assert accuracy["value"] == pytest.approx(trained.value)
    assert accuracy["interval_95"] == pytest.approx(trained.interval_95)

    model: Any = load(report.package, variant="int8-qat")
    assert model(opened.reference_items[0])["label"] in opened.task.labels


def digits(recipe: Path) -> tuple[Array, Array]:
    """The test split, as uint8[images, height, width] with labels."""
    from toolkit.training import load_recipe

    loaded = load_recipe(recipe)
    test = loaded.load(loaded.settings).test
    return np.stack(test.items), test.targets


def test_a_bert_is_the_trained_one_up_to_the_rounding_of_near_ties(
    bert: tuple[Path, ExportReport],
) -> None:
    run, report = bert
    made = report.quantized
    assert made is not None
    assert made.parity.max_abs_error < 1e-3
    assert {shape["sequence"] for shape in made.parity.shapes} >= {1, 5}
    assert {shape["batch"] for shape in made.parity.shapes} >= {1, 3, 5, 7}
    if made.roundings is not None:
        assert made.roundings.differing < made.roundings.compared / 10_000
        assert made.roundings.furthest < NEAR_TIE
    # Any one rounding moves an output by less than quantization itself does.
    assert max(differences(run, report, [(1, 3), (3, 5), (16, 5), (40, 32)])) < 0.05


def test_a_bert_has_int8_products_and_int8_rows_of_words(bert: tuple[Path, ExportReport]) -> None:
    _run, report = bert
    made = report.quantized
    assert made is not None
    assert made.operators["MatMulIntegerToFloat"] == 12
    sizes = Counter(value.size for value in stored(report, TensorProto.INT8))
    assert sizes[32 * 2**12] == 1
    assert sizes[32 * 32] == 8
    assert sizes[32 * 64] == 4
    # Positions and kinds of tokens, LayerNorm, biases and the scales of the rows.
    assert max(value.size for value in stored(report, TensorProto.FLOAT)) <= 2**12
    nodes = onnx.load(graph_of(report)).graph.node
    dequantized = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    turned = [node for node in nodes if node.op_type == "Transpose"]
    assert turned
    assert not any(node.input[0] in dequantized for node in turned)


class _Recorded:
    """A session that gives what it was told to."""

    def __init__(self, outputs: dict[str, Array]) -> None:
        self.outputs = outputs

    def run(self, _feeds: object) -> dict[str, Array]:
        return self.outputs


class _Rounds(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        operators = torch.ops.quantized_decomposed
        found = operators.quantize_per_tensor.default(x, 0.5, 10, 0, 255, torch.uint8)
        made = operators.dequantize_per_tensor.default(found, 0.5, 10, 0, 255, torch.uint8)
        assert isinstance(made, torch.Tensor)
        return made


def test_a_near_tie_is_taken_over_and_counted_and_anything_else_refused() -> None:
    import torchao.quantization.pt2e  # noqa: F401 - registers the operators

    x = torch.tensor([1.0, 1.2499, 3.0])  # steps 12, 12.4998 and 16
    near = {"quantize_per_tensor": np.array([12, 13, 16], np.uint8)}
    same = SameRoundings(_Rounds(), _Recorded(near))  # type: ignore[arg-type]  # a fake session
    assert same(x=x).tolist() == [1.0, 1.5, 3.0]
    assert (same.roundings, same.differing) == (3, 1)
    assert same.furthest == pytest.approx(2e-4, rel=0.1)
    far = {"quantize_per_tensor": np.array([13, 12, 16], np.uint8)}
    wrong = SameRoundings(_Rounds(), _Recorded(far))  # type: ignore[arg-type]  # the same
    with pytest.raises(CheckFailedError, match="half way"):
        wrong(x=x)


def test_quantizers_are_taken_in_their_order() -> None:
    names = ["quantize_per_tensor_10", "logits", "quantize_per_tensor", "quantize_per_tensor_2"]
    assert rounded_names(names) == [names[2], names[3], names[0]]


def test_a_graph_that_computes_something_else_is_refused(
    cnn: tuple[Path, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.export import trained
    from toolkit.export.qdq import tidied

    def halved(model: onnx.ModelProto) -> onnx.ModelProto:
        made = tidied(model)
        for tensor in made.graph.initializer:
            if tensor.data_type == TensorProto.INT32:
                half = numpy_helper.to_array(tensor) // 2
                tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
        return made

    monkeypatch.setattr(trained, "tidied", halved)
    with pytest.raises(CheckFailedError):
        export(cnn[0], tmp_path / "a.ortpackage")
    assert not [*tmp_path.iterdir()]


class _Shifted:
    """A session whose fused kernels add 3 to every float output."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._session.run(feeds)
        return {
            name: value + np.float32(3) if value.dtype == np.float32 else value
            for name, value in outputs.items()
        }


def test_a_session_that_fuses_the_graph_wrongly_is_refused(
    cnn: tuple[Path, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.export import trained

    def opened(model: Path, options: SessionOptions, **more: Any) -> Any:
        session = open_session(model, options, **more)
        return session if options.graph_level == "none" else _Shifted(session)

    monkeypatch.setattr(trained, "open_session", opened)
    with pytest.raises(CheckFailedError, match="does not compute") as caught:
        export(cnn[0], tmp_path / "a.ortpackage")
    assert "max abs error 3" in caught.value.problem
    assert "0.001" in caught.value.expected
    assert not [*tmp_path.iterdir()]


def test_other_roundings_are_compared_with_the_session_that_users_open(
    bert: tuple[Path, ExportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.export import trained

    monkeypatch.setattr(trained, "LIMIT", -1.0)  # as if float errors lay between the two
    monkeypatch.setattr(trained, "compared", limits := _Limits(comparison.compared))
    report = export(bert[0], tmp_path / "a.ortpackage")
    made = report.quantized
    assert made is not None
    assert made.roundings is not None
    assert made.roundings.compared > 100_000
    assert made.parity.max_abs_error < 1e-3
    assert limits.sessions[0] is limits.sessions[1]


class _Limits:
    """`compared` with a limit that float errors stay below."""

    def __init__(self, compared: Callable[..., ExportParity]) -> None:
        self._compared = compared
        self.sessions: list[Session] = []

    def __call__(self, part: TorchPart, session: Session, *args: Any, **more: Any) -> ExportParity:
        self.sessions.append(session)
        return self._compared(part, session, *args, **more | {"limit": max(more["limit"], 1e-3)})
