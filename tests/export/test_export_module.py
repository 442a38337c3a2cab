"""Exporting modules: what the package holds, and that it computes the same."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.export import nets
from toolkit import ModelPackage, export, load
from toolkit.errors import CheckFailedError, InputError
from toolkit.export import Exportable, ExportReport, graph, traced, weights
from toolkit.export.parts import TorchSource
from toolkit.export.traced import Attempt
from toolkit.export.weights import Traced
from toolkit.package.integrity import file_hashes
from toolkit.tasks import TaskSpec

pytestmark = pytest.mark.torch


SOURCE = TorchSource(
    kind="module", name="module", sha256="", parts=(), task=TaskSpec(name="tensors")
)
LINES: list[str] = []
"""What the export of the shared package said."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """A package that tests only read."""
    target = tmp_path_factory.mktemp("shared") / "a.ortpackage"
    source = replace(nets.recurrent(), items=["a", "b"])
    return export(source, target, progress=LINES.append)


@pytest.fixture
def package(report: ExportReport) -> ModelPackage:
    return ModelPackage.open(report.package)


def test_a_module_is_compared_at_four_other_shapes_and_on_its_reference(
    report: ExportReport,
) -> None:
    shapes = [(shape["batch"], shape["sequence"]) for shape in report.parity.shapes]
    assert shapes == [(1, 6), (3, 1), (5, 13), (7, 4), (17, 9), (8, 6)]
    assert report.parity.max_abs_error <= report.parity.limit == 1e-4
    assert report.parity.compared_with == "PyTorch"
    assert LINES[:2] == [
        "exporting at batch 8, sequence 6 with torch",
        "parity at batch 1, sequence 6",
    ]


def test_the_package_opens_and_answers_as_the_module_does(package: ModelPackage) -> None:
    source = nets.recurrent()
    ids = np.arange(10).reshape(2, 5)
    with torch.no_grad():
        wanted = source.module(input_ids=torch.from_numpy(ids)).numpy()
    found = load(package.path).run({"input_ids": ids})["logits"]
    assert found == pytest.approx(wanted, abs=1e-6)


def test_the_dimensions_asked_for_are_symbolic_in_inputs_and_outputs(
    package: ModelPackage,
) -> None:
    assert [str(spec) for spec in package.inputs] == ["int64[batch, sequence]"]
    assert [str(spec) for spec in package.outputs] == ["float32[batch, 1]"]


def test_one_reference_row_does_not_fix_the_batch(tmp_path: Path) -> None:
    source = Exportable(module=nets.Frozen(), inputs={"x": torch.randn(1, 6)})
    report = export(source, tmp_path / "a.ortpackage")
    assert {shape["batch"] for shape in report.parity.shapes} >= {1, 3, 5, 7}  # traced at 2


def test_inputs_may_stand_in_another_order_than_in_forward(tmp_path: Path) -> None:
    mask = torch.ones(8, 5)
    mask[::2, 3:] = 0
    dimensions = {0: "batch", 1: "sequence"}
    source = Exportable(
        module=nets.Several(),
        inputs={"x": torch.randn(8, 5, 3), "mask": mask},
        dynamic_dimensions={"x": dimensions, "mask": dimensions},
    )
    export(source, tmp_path / "a.ortpackage")
    package = ModelPackage.open(tmp_path / "a.ortpackage")
    assert {spec.name: str(spec) for spec in package.inputs} == {
        "mask": "float32[batch, sequence]",
        "x": "float32[batch, sequence, 3]",
    }
    assert [spec.name for spec in package.outputs] == ["sum", "states"]


def test_the_reference_of_the_package_is_pytorchs_answer(package: ModelPackage) -> None:
    source = nets.recurrent()
    folder = package.asset("reference")
    assert folder is not None
    inputs, outputs = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    assert (inputs["input_ids"] == source.inputs["input_ids"].numpy()).all()
    with torch.no_grad():
        wanted = source.module(**source.inputs).numpy()
    assert outputs["logits"] == pytest.approx(wanted, abs=1e-6)
    assert json.loads((folder / "items.json").read_text()) == ["a", "b"]


@pytest.mark.slow
def test_a_package_is_byte_identical_in_this_process_and_in_another(tmp_path: Path) -> None:
    export(nets.recurrent(), tmp_path / "1" / "a.ortpackage")
    export(nets.recurrent(), tmp_path / "2" / "a.ortpackage")
    code = (
        "import sys; from tests.export import nets; from toolkit import export;"
        "export(nets.recurrent(), sys.argv[1])"
    )
    target = tmp_path / "3" / "a.ortpackage"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", code, target], check=True, env=environment)
    hashes = [file_hashes(tmp_path / str(number)) for number in (1, 2, 3)]
    assert len(hashes[0]) == 5
    assert hashes == hashes[:1] * 3


def test_no_path_source_line_or_time_is_in_the_package(package: ModelPackage) -> None:
    content = b"".join(file.read_bytes() for file in package.path.rglob("*") if file.is_file())
    for secret in (
        Path.home(),
        Path.cwd(),
        package.path.parent,
        sys.prefix,
        ".py",
        "File ",
        "forward(",
    ):
        assert str(secret).encode() not in content
    model = onnx.load(package.variant("fp32").model)
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_the_graph_is_of_opset_20_and_ir_10_and_lists_nothing_twice(
    package: ModelPackage,
) -> None:
    model = onnx.load(package.variant("fp32").model)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert model.ir_version == 10
    named = [value.name for value in model.graph.value_info]
    named += [tensor.name for tensor in model.graph.initializer]
    named += [value.name for value in (*model.graph.input, *model.graph.output)]
    assert len(named) == len(set(named))


@pytest.mark.parametrize("width", [40, 400])  # in the graph while it is cleaned, and set aside
def test_weights_leave_the_graph_where_protobuf_cannot_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(weights, "EXTERNAL_ABOVE_BYTES", 200_000 if width == 400 else 1024)
    module = nn.Sequential(nn.Linear(width, 200))
    example = {"input": torch.randn(8, width)}
    export(Exportable(module=module, inputs=example), tmp_path / "a.ortpackage")
    package = ModelPackage.open(tmp_path / "a.ortpackage")
    assert set(package.variant("fp32").contents.files) == {"model.onnx", "model.onnx.data"}
    assert package.verify()


def test_a_shape_that_the_module_itself_refuses_is_replaced_by_another(tmp_path: Path) -> None:
    lines: list[str] = []
    source = Exportable(
        module=nn.Sequential(nn.Conv1d(1, 2, 5)),
        inputs={"input": torch.randn(8, 1, 9)},
        dynamic_dimensions={"input": {0: "batch", 2: "time"}},
    )
    report = export(source, tmp_path / "a.ortpackage", progress=lines.append)
    assert any(
        line.startswith("the module itself does not run at batch 3, time 2") for line in lines
    )
    assert len(report.parity.shapes) >= 5
    assert all(shape["time"] >= 5 for shape in report.parity.shapes)


def test_a_module_that_fixes_a_dimension_is_refused(tmp_path: Path) -> None:
    source = Exportable(
        module=nets.Frozen(),
        inputs={"x": torch.randn(8, 6)},
        dynamic_dimensions={"x": {0: "batch", 1: "width"}},
    )
    with pytest.raises(InputError, match=r"axis 1 of input 'x' \(width\) at 6"):
        export(source, tmp_path / "a.ortpackage")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_is_right_only_where_it_was_traced_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match=r"batch 5, sequence 13: max abs error 1$") as caught:
        export(nets.branching(), tmp_path / "a.ortpackage")
    assert "0.0001" in caught.value.expected
    assert not list(tmp_path.iterdir())


def test_a_module_keeps_its_mode_and_its_threads(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    threads = torch.get_num_threads()
    export(Exportable(module=module, inputs={"input": torch.ones(8, 3)}), tmp_path / "a.ortpackage")
    assert module.training
    assert torch.get_num_threads() == threads


def test_half_precision_weights_are_no_fp32_variant(tmp_path: Path) -> None:
    source = Exportable(
        module=nn.Sequential(nn.Linear(3, 2)).half(), inputs={"input": torch.ones(8, 3).half()}
    )
    with pytest.raises(InputError, match="float16"):
        export(source, tmp_path / "a.ortpackage")


def test_a_callable_of_a_module_in_the_current_directory_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nets.py").write_text(
        "import torch\n"
        "def small():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(3, 2)), {'input': torch.zeros(8, 3)}\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    report = export("my_nets:small", "out.ortpackage")
    assert sys.path == before
    source = ModelPackage.open(report.package).contents.source
    assert (source.kind, source.name) == ("module", "my_nets:small")


@pytest.mark.parametrize(
    "source, fact",
    [
        ("tests.export.nets:no_module", "returned int"),
        ("tests.export.nets:broken", "no weights here"),
        ("tests.export.nets:absent", "absent"),
        ("no_such_module:net", "no_such_module"),
    ],
)
def test_a_callable_that_gives_no_module_is_refused(source: str, fact: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fact):
        export(source, tmp_path / "a.ortpackage")
    assert not list(tmp_path.iterdir())


def test_inputs_that_forward_does_not_take_are_named(tmp_path: Path) -> None:
    source = Exportable(module=nets.Frozen(), inputs={"z": torch.ones(8, 6)})
    with pytest.raises(InputError, match="'z'"):
        export(source, tmp_path / "a.ortpackage")


def test_an_output_may_be_named_as_the_exporter_names_a_value_inside(tmp_path: Path) -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 3)

        def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"embedding": self.table(ids).mean(dim=1)}

    module = Mean()
    ids = torch.tensor([[1, 2], [3, 6]])
    made = Exportable(module=module, inputs={"ids": ids})
    export(made, tmp_path / "mean.ortpackage", tolerance=1e-6)
    found = load(tmp_path / "mean.ortpackage").run({"ids": ids.numpy()})
    assert found["embedding"] == pytest.approx(module(ids)["embedding"].detach().numpy())


def test_renaming_keeps_a_value_that_has_the_name_already() -> None:
    add = onnx.helper.make_node("Relu", ["x"], ["y"])
    again = onnx.helper.make_node("Neg", ["y"], ["out"])
    one = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in ("x", "out")]
    model = onnx.helper.make_model(onnx.helper.make_graph([add, again], "g", one[:1], one[1:]))
    graph.rename(Traced(model=model), {"x": "in", "out": "y"})
    nodes = [(*node.input, *node.output) for node in model.graph.node]
    assert nodes == [("in", "y.1"), ("y.1", "y")]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("in", "y")


class Masked(nn.Module):
    """A row and a mask of infinities; NaN where it is told to."""

    def __init__(self, *, spoiled: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.spoiled = spoiled
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.linear(x) + self.mask
        return answer - answer if self.spoiled else answer


def masked(**options: bool) -> Exportable:
    return Exportable(module=Masked(**options), inputs={"x": torch.randn(3, 3)})


def test_infinities_that_are_meant_are_exported(tmp_path: Path) -> None:
    made = export(masked(), tmp_path / "a.ortpackage")
    assert made.parity.max_abs_error <= made.parity.limit


def test_answers_and_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the output 'output' of module holds 3 NaN of 9"):
        export(masked(spoiled=True), tmp_path / "a.ortpackage")
    source = masked()
    nn.init.constant_(source.module.get_parameter("linear.bias"), torch.nan)
    with pytest.raises(InputError, match=r"module: the weight 'linear\.bias' has 3 of 3"):
        export(source, tmp_path / "a.ortpackage")
    assert not (tmp_path / "a.ortpackage").exists()


def test_a_tolerance_that_every_exporter_misses_is_named(tmp_path: Path) -> None:
    source = Exportable(module=nn.Linear(64, 8), inputs={"input": torch.randn(4, 64) * 1e6})
    with pytest.raises(CheckFailedError) as caught:
        export(source, tmp_path / "a.ortpackage", tolerance=1e-9)
    assert caught.value.fix.startswith("--tolerance ")
    attempts = [Attempt(exporter="torch", reason="max abs error 1.4e-4", missed=True)]
    assert "--tolerance" in traced._none_left(SOURCE, attempts).fix
    attempts = [Attempt(exporter="torch", reason="cannot trace it", missed=False)]
    assert "--tolerance" not in traced._none_left(SOURCE, attempts).fix
