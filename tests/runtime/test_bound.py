"""IO binding, captured graphs and CUDA's libraries, as far as a machine without a GPU goes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.runtime.graphs import feeds, write_graph
from toolkit.errors import InputError, SetupError
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.bound import device_of
from toolkit.runtime.cuda import check_capturable, device_among, is_captured
from toolkit.runtime.session import Session
from toolkit.tensors import TensorSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "model.onnx")


def test_a_bound_run_answers_as_a_plain_one_for_changing_values(model: Path) -> None:
    session = open_session(model, SessionOptions())
    first, second = feeds(4), {"x": -feeds(4)["x"]}
    bound = session.bind(first)
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], session.run(first)["y"])
    bound.feed(second)
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], session.run(second)["y"])


def test_a_bound_run_writes_its_outputs_into_the_same_memory(model: Path) -> None:
    bound = open_session(model, SessionOptions()).bind(feeds(4))
    addresses = set()
    for _ in range(3):
        bound.run()
        (output,) = bound._binding.get_outputs()
        addresses.add(output.data_ptr())
    assert len(addresses) == 1


@pytest.mark.parametrize(
    "other", [feeds(3), {"y": feeds(4)["x"]}, {"x": feeds(4)["x"].astype(np.float64)}, {}]
)
def test_a_bound_run_keeps_its_shape(model: Path, other: dict[str, Any]) -> None:
    bound = open_session(model, SessionOptions()).bind(feeds(4))
    with pytest.raises(InputError, match="bound run") as caught:
        bound.feed(other)
    assert caught.value.expected == "x: float32[4, 8]"


def test_a_captured_session_runs_on_bound_tensors(model: Path) -> None:
    raw = open_session(model, SessionOptions())._raw
    captured = Session(raw, Provider.CPU, 0.0, "model", captured=True)
    plain = Session(raw, Provider.CPU, 0.0, "model")
    for scale in (1, -2, 3):
        values = {"x": scale * feeds(4)["x"]}
        np.testing.assert_array_equal(captured.run(values)["y"], plain.run(values)["y"])
    with pytest.raises(InputError, match=r"float32\[3, 8\]"):
        captured.run(feeds(3))


def test_a_scalar_stays_one(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    shapes = {"x": ["batch"], "s": [], "y": ["batch"]}
    x, s, y = (helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items())
    graph = helper.make_graph([helper.make_node("Mul", ["x", "s"], ["y"])], "scaled", [x, s], [y])
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), tmp_path / "m.onnx")
    values = np.arange(8, dtype=np.float32)[::2]
    bound = open_session(tmp_path / "m.onnx", SessionOptions()).bind(
        {"x": values, "s": np.array(3, np.float32)}
    )
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], values * 3)
    bound.feed({"x": values, "s": np.array(-1, np.float32)})
    bound.run()
    np.testing.assert_array_equal(bound.outputs()["y"], -values)


def test_tensors_are_bound_on_the_device_that_was_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = open_session(model, SessionOptions())._raw
    bound: list[int] = []

    def kept(*_: object, device_id: int, name: str) -> None:
        bound.append(device_id)

    monkeypatch.setattr("toolkit.runtime.session.BoundRun", kept)
    Session(raw, Provider.CUDA, 0.0, "model", device_id=3).bind(feeds(4))
    Session(raw, Provider.CPU, 0.0, "model", device_id=3).bind(feeds(4))
    assert bound == [3, 0]
    assert device_among(Provider.CUDA, {"device_id": "3"}) == 3
    assert device_among(Provider.TENSORRT, {}) == device_among(Provider.QNN, {"device_id": "1"})


def test_the_memory_of_a_provider_is_named() -> None:
    assert device_of(Provider.CUDA) == device_of(Provider.TENSORRT) == "cuda"
    assert device_of(Provider.CPU) == device_of(Provider.QNN) == "cpu"


def test_a_captured_graph_needs_fixed_shapes() -> None:
    options = {"enable_cuda_graph": "1"}
    assert is_captured(Provider.CUDA, options)
    assert not is_captured(Provider.CUDA, {"enable_cuda_graph": "0"})
    assert not is_captured(Provider.QNN, options)
    fixed = TensorSpec(name="x", dtype="float32", shape=(1, 8))
    check_capturable(Provider.CUDA, options, [fixed])
    symbolic = TensorSpec(name="x", dtype="float32", shape=("batch", 8))
    check_capturable(Provider.CUDA, {}, [symbolic])
    with pytest.raises(SetupError, match="enable_cuda_graph") as caught:
        check_capturable(Provider.CUDA, options, [symbolic])
    assert caught.value.fix == "--fix-shapes batch=1"


def test_cuda_libraries_are_loaded_before_cuda_starts(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def preload_dlls(*, directory: str) -> None:
        asked.append(directory)
        print("Failed to load libcudnn.so.9: no such file")  # noqa: T201 - as ONNX Runtime does
        print("Please follow the documentation")  # noqa: T201 - the same

    monkeypatch.setattr(ort, "preload_dlls", preload_dlls)
    with pytest.raises(SetupError, match="has no CUDAExecutionProvider") as caught:
        open_session(model, SessionOptions(provider=Provider.CUDA))
    assert "onnx-edge-toolkit[gpu]" in caught.value.expected
    assert caught.value.expected.startswith("one of cpu")
    assert asked == [""]  # the wheels of NVIDIA first, then the system
    assert capsys.readouterr().out == ""


@pytest.mark.gpu
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in ort.get_available_providers(),
    reason="this onnxruntime build has no CUDA",
)
def test_a_captured_graph_on_cuda_answers_as_the_cpu_does(model: Path) -> None:
    options = {"enable_cuda_graph": "1", "use_tf32": "0"}
    session = open_session(
        model,
        SessionOptions(
            provider=Provider.CUDA,
            provider_options=options,
            fix_shapes={"batch": 4},
            require={"cuda": 1},
        ),
    )
    cpu = open_session(model, SessionOptions())
    for scale in (1, -2, 3):
        values = {"x": scale * feeds(4)["x"]}
        np.testing.assert_allclose(session.run(values)["y"], cpu.run(values)["y"], rtol=1e-4)
