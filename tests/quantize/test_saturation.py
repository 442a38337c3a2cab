"""Sums that do not fit 16 bits: emulated, refused, and left room for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.quantize.foreign import WIDTH, rows, write
from tests.quantize.graphs import convolution, images, normalized, ragged
from toolkit.cli.main import main
from toolkit.package import ModelPackage
from toolkit.quantize import QuantizeFailedError, SearchOptions, methods, quantize
from toolkit.quantize.context import Context
from toolkit.quantize.methods import METHODS
from toolkit.quantize.rowwise import quantize_rowwise
from toolkit.quantize.saturation import (
    PORTABLE_LEVELS,
    check_saturation,
    saturated_product,
    saturates,
)


def test_a_pair_of_products_is_cut_to_16_bits() -> None:
    activation = np.array([[255, 255, 255, 1, 9]], np.uint8)
    weight = np.array([[127, -128], [127, -128], [1, 2], [3, -4], [5, 6]], np.int8)
    exact = activation.astype(np.int64) @ weight
    assert exact.tolist() == [[255 * 254 + 255 + 3 + 45, -255 * 256 + 510 - 4 + 54]]
    cut = saturated_product(activation, weight)
    assert cut.tolist() == [[32767 + 255 + 3 + 45, -32768 + 510 - 4 + 54]]
    assert saturates(activation, weight)


def test_weights_of_7_bits_leave_room_for_any_activation() -> None:
    weight = np.full((6, 3), PORTABLE_LEVELS, np.int8) * np.array([1, -1, 1], np.int8)
    activation = np.full((2, 6), 255, np.uint8)
    assert not saturates(activation, weight)
    assert (saturated_product(activation, weight) == activation.astype(np.int32) @ weight).all()
    assert saturates(activation, np.full((6, 1), PORTABLE_LEVELS + 1, np.int8))


def even(file: Path) -> Path:
    """Write y = Relu(x) @ w with weights of one size: any two of a column fill 16 bits."""
    signs = np.sign(np.random.default_rng(0).normal(size=(WIDTH, WIDTH))).astype(np.float32)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="active"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="product"),
    ]
    return write(file, nodes, [numpy_helper.from_array(signs, "w")])


def test_a_product_that_saturates_on_the_data_is_named(tmp_path: Path) -> None:
    model, native, portable = (
        tmp_path / f"{name}.onnx" for name in ("float", "native", "portable")
    )
    feeds = [{"x": np.abs(rows(8, seed=2)) + 3}]
    even(model)
    assert quantize_rowwise(model, native) == 1
    found = check_saturation(native, feeds)
    assert (found.products, found.proven, found.emulated) == (1, 0, 1)
    (name,) = found.saturated
    assert name in found.why
    assert quantize_rowwise(model, portable, is_portable=True) == 1
    proven = check_saturation(portable, feeds)
    assert (proven.products, proven.proven, proven.why) == (1, 1, "")


def test_data_that_never_fill_a_sum_show_it_too(tmp_path: Path) -> None:
    """Emulation looks at what the data leads to, not at the size of weights alone."""
    model, native = tmp_path / "float.onnx", tmp_path / "native.onnx"
    quantize_rowwise(even(model), native)
    lonely = np.zeros((8, WIDTH), np.float32)
    lonely[:, 0] = 1  # the other one of each pair is 0
    found = check_saturation(native, [{"x": lonely}])
    assert (found.emulated, found.saturated, found.why) == (1, (), "")


@pytest.mark.parametrize("name", ["rowwise", "dynamic", "static-minmax", "static-minmax-symmetric"])
def test_every_method_leaves_room_where_it_is_asked_to(name: str, tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx", wide=2.0)
    method = next(method for method in METHODS if method.name == name)
    target = tmp_path / f"{name}.onnx"
    assert method.apply(model, target, Context(calibration=ragged(), instruction_set="portable"))
    found = check_saturation(target, ragged().feeds())
    assert found.products == found.proven == 2
    assert method.apply(model, target, Context(calibration=ragged()))
    assert check_saturation(target, ragged().feeds()).proven < 2


def test_a_convolution_that_is_not_proven_counts_as_unknown(tmp_path: Path) -> None:
    model, target = convolution(tmp_path / "float.onnx"), tmp_path / "int8.onnx"
    method = next(method for method in METHODS if method.name == "static-minmax")
    method.apply(model, target, Context(calibration=images()))
    assert check_saturation(target, images().feeds()).unknown == ("conv",)
    method.apply(model, target, Context(calibration=images(), instruction_set="portable"))
    found = check_saturation(target, images().feeds())
    assert (found.products, found.proven, found.why) == (1, 1, "")


def test_blocks_are_computed_in_float_elsewhere(tmp_path: Path) -> None:
    model = normalized(tmp_path / "float.onnx")
    method = next(method for method in METHODS if method.name == "blocks8")
    method.apply(model, tmp_path / "native.onnx", Context())
    assert len(check_saturation(tmp_path / "native.onnx", []).unknown) == 2
    method.apply(model, tmp_path / "portable.onnx", Context(instruction_set="portable"))
    assert check_saturation(tmp_path / "portable.onnx", []).products == 0
    kinds = [node.op_type for node in onnx.load(tmp_path / "portable.onnx").graph.node]
    assert kinds.count("MatMulNBits") == 2


def test_what_saturates_passes_natively_and_is_refused_as_portable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(model: Path, target: Path, context: Context) -> int:
        return quantize_rowwise(model, target, keep=context.keep)

    model = even(tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=np.abs(rows(40, seed=2)) + 3)
    rowwise = next(method for method in METHODS if method.name == "rowwise")
    names = ("careless", "rowwise")
    both = (replace(rowwise, name="careless", apply=careless), rowwise)
    monkeypatch.setattr(methods, "METHODS", both)
    native = quantize(
        model, tmp_path / "data.npz", output=tmp_path / "native.onnx", methods=names[:1]
    )
    assert native.candidates[0].kept
    portable = SearchOptions(isa="portable", methods=names[:1])
    with pytest.raises(QuantizeFailedError) as failed:
        quantize(model, tmp_path / "data.npz", output=tmp_path / "no.onnx", search=portable)
    assert "saturate on AVX2 in 1 of 1" in failed.value.report.candidates[0].why
    repaired = quantize(
        model,
        tmp_path / "data.npz",
        output=tmp_path / "portable.onnx",
        search=SearchOptions(isa="portable", methods=names),
    )
    assert [c.kept for c in repaired.candidates] == [False, True]
    stored = onnx.load(tmp_path / "portable.onnx").graph.initializer
    (weight,) = (numpy_helper.to_array(t) for t in stored if t.data_type == TensorProto.INT8)
    assert np.abs(weight.astype(int)).max() == PORTABLE_LEVELS


def test_the_variant_says_what_it_was_checked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "even.ortpackage"
    assert main(["export", str(even(tmp_path / "model.onnx")), "-o", str(path)]) == 0
    np.savez(tmp_path / "data.npz", x=np.abs(rows(40, seed=2)) + 3)
    command = ["quantize", str(path), "--data", str(tmp_path / "data.npz"), "--no-labels"]
    command += ["--only", "rowwise", "--isa", "portable", "--json", "-q"]
    capsys.readouterr()
    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["isa"] == "portable"
    details = ModelPackage.open(path).variant("int8").contents.details
    assert details["isa"] == "portable"
    assert details["saturation"] == {"products": 1, "proven": 1, "emulated": 0}
    assert "instruction_set" in details
