"""The eight ways in which ONNX Runtime answers from the CPU without an error, none of them ours.

Numbers as in platform.md. What no machine of ours can show (a CUDA build without CUDA) is faked.
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.runtime.graphs import feeds, write_graph
from tests.tiny_package import GRAPH
from toolkit.cli.main import main
from toolkit.errors import CheckFailedError, InputError, SetupError, ToolkitError
from toolkit.nvidia import driver_version
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.explained import reason_in
from toolkit.runtime.failures import NoProviderError

QNN = pytest.mark.skipif(
    find_spec("onnxruntime_qnn") is None,
    reason="onnxruntime-qnn, of the extra qnn, is missing",
)


def refused(model: Path, **options: Any) -> ToolkitError:
    with pytest.raises(ToolkitError) as caught:
        open_session(model, SessionOptions(**options))
    return caught.value


def test_1_a_provider_that_the_wheel_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(GRAPH, provider=Provider.NNAPI)
    assert (type(error), error.exit_code) == (NoProviderError, 4)
    assert "Android" in error.expected
    assert main(["infer", str(GRAPH), "--provider", "nnapi", "--json"]) == 4
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("domain", ["com.microsoft", "nowhere"])
def test_1_such_a_provider_is_the_reason_where_the_cpu_cannot_open_the_model_either(
    tmp_path: Path, domain: str
) -> None:
    # The first holds a graph that was compiled for QNN, the second what nobody knows.
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    written = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    node = helper.make_node(
        "EPContext",
        ["x"],
        ["y"],
        domain=domain,
        main_context=1,
        embed_mode=1,
        ep_cache_context=b"binary",
        source="QNNExecutionProvider",
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(domain, 1)]
    graph = helper.make_graph([node], "compiled", [value], [written])
    model = tmp_path / "compiled.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opsets), model)
    error = refused(model, provider=Provider.NNAPI)
    assert (type(error), error.exit_code) == (NoProviderError, 4)
    assert "has no NnapiExecutionProvider" in error.problem
    assert refused(model).exit_code == 3


def test_2_an_invented_name() -> None:
    error = refused(GRAPH, provider="tpu")
    assert (type(error), error.exit_code) == (InputError, 3)
    assert "openvino" in error.expected
    assert main(["infer", str(GRAPH), "--provider", "tpu"]) == 2  # typed wrongly


class FakePlugin:
    """A plugin wheel whose library registers, and finds the devices that are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]) -> None:
        self.registered: list[str] = []
        name = "onnxruntime_ep_webgpu"
        module = SimpleNamespace(get_library_path=lambda: "lib.so", __spec__=SimpleNamespace())
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(ort, "register_execution_provider_library", self._register)
        devices = [
            SimpleNamespace(
                ep_name="WebGpuExecutionProvider",
                device=SimpleNamespace(type=SimpleNamespace(name=kind)),
            )
            for kind in kinds
        ]
        monkeypatch.setattr(ort, "get_ep_devices", lambda: devices if self.registered else [])

    def _register(self, name: str, library: str) -> None:
        assert library == "lib.so"
        if name in self.registered:
            raise RuntimeError(f"EP library is already registered under {name}")
        self.registered.append(name)


def test_3_a_plugin_is_taken_by_its_device_and_never_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin = FakePlugin(monkeypatch, ())
    for _ in range(2):  # registered once, and without a device each time
        error = refused(GRAPH, provider=Provider.WEBGPU)
        assert (type(error), error.exit_code) == (NoProviderError, 4)
        assert "finds no device" in error.problem
    assert plugin.registered == ["WebGpuExecutionProvider"]


def test_3_a_plugin_whose_library_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    FakePlugin(monkeypatch, ())

    def broken(name: str, library: str) -> None:
        raise RuntimeError(f"Failed to load library {library}: libvulkan.so.1: cannot open")

    monkeypatch.setattr(ort, "register_execution_provider_library", broken)
    error = refused(GRAPH, provider=Provider.WEBGPU)
    assert error.exit_code == 4
    assert "libvulkan.so.1" in error.problem
    assert "onnx-edge-toolkit[webgpu]" in error.fix


@pytest.fixture
def a_provider_in_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU build without CUDA: it lists CUDA, logs a line and puts every node on the CPU."""
    real = ort.InferenceSession

    def session(model: Path, settings: Any, *, providers: Any, enable_fallback: int) -> Any:
        assert enable_fallback == 0
        return real(model, settings, providers=["CPUExecutionProvider"], enable_fallback=0)

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", session)


@pytest.mark.usefixtures("a_provider_in_name_only")
def test_4_the_gpu_wheel_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    log = (
        "\x1b[1;31m2026-11-22 10:00:00 [E:onnxruntime:Default, provider_bridge_ort.cc:2372 "
        "TryGetProviderInfo_CUDA] [ONNXRuntimeError] : 1 : FAIL : Failed to load library "
        "libonnxruntime_providers_cuda.so: libcudnn.so.9: cannot open shared object file\x1b[m"
    )
    monkeypatch.setattr("toolkit.runtime.fresh.call_fresh", lambda *_, **__: {"stderr": log})
    error = refused(GRAPH, provider=Provider.CUDA)
    assert (type(error), error.exit_code) == (SetupError, 4)
    assert "libcudnn.so.9" in error.problem
    assert "on CPUExecutionProvider" in error.problem
    assert "onnx-edge-toolkit[gpu]" in error.fix


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in ort.get_available_providers() or bool(driver_version()),
    reason="this is no GPU build of onnxruntime on a machine without a GPU",
)
def test_4_the_gpu_wheel_without_cuda_for_real() -> None:
    error = refused(GRAPH, provider=Provider.CUDA)
    assert (type(error), error.exit_code) == (SetupError, 4)
    assert ".so" in error.problem


@QNN
@pytest.mark.parametrize(
    "options, reason",
    [
        ({"htp_arch": "68", "soc_model": "57", "device_id": "9"}, "3 on CPUExecutionProvider"),
        ({"soc_model": "3"}, "3 on CPUExecutionProvider: QNN.backendValidateOpConfig() failed"),
        ({"backend_path": "libNope.so"}, "the library libNope.so is missing"),
        ({"backend_type": "cpu"}, "the library libQnnCpu.so is missing"),
    ],
)
def test_5_a_provider_whose_setup_fails_stays_listed(
    tmp_path: Path, options: dict[str, str], reason: str
) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4)
    error = refused(model, provider=Provider.QNN, provider_options=options)
    assert (type(error), error.exit_code) == (SetupError, 4)
    assert reason in error.problem


def failing(kind: str) -> Callable[..., Any]:
    def run(*_: object) -> Any:
        raise getattr(ort.capi.onnxruntime_pybind11_state, kind)("EP failed at node 7")

    return run


@QNN
@pytest.mark.parametrize("kind", ["EPFail", "Fail", "RuntimeException"])
def test_6_a_failure_at_run_time_is_not_retried_on_the_cpu(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4)
    session = open_session(model, SessionOptions(provider=Provider.QNN))
    session._run = failing(kind)
    with pytest.raises(SetupError, match="EP failed at node 7") as caught:
        session.run(feeds(4))
    assert caught.value.exit_code == 4
    assert session._raw._enable_fallback is False
    assert capfd.readouterr().out == ""


def test_6_feeds_that_do_not_fit_are_not_the_providers_fault() -> None:
    session = open_session(GRAPH, SessionOptions())
    session.provider = Provider.CUDA
    with pytest.raises(InputError, match="running"):
        session.run({"input_ids": np.zeros((2, 3), np.float32)})


def test_7_an_option_that_the_provider_does_not_know() -> None:
    error = refused(GRAPH, provider=Provider.QNN, provider_options={"soc_modle": "57"})
    assert (type(error), error.exit_code) == (InputError, 3)
    assert "soc_model" in error.expected


@QNN
def test_8_symbolic_dimensions(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx")
    error = refused(model, provider=Provider.QNN)
    assert (type(error), error.exit_code) == (SetupError, 4)
    assert "float32[batch, 8]" in error.problem
    assert "--fix-shapes batch=1" in error.fix


@QNN
def test_a_share_below_the_required_one(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4, operator="Erf")
    session = open_session(model, SessionOptions(provider=Provider.QNN, require={"qnn": 0.66}))
    assert session.placement == {"QNNExecutionProvider": 2, "CPUExecutionProvider": 1}
    assert session.elsewhere == {"Erf": 1}
    error = refused(model, provider=Provider.QNN, require={"qnn": 0.95})
    assert (type(error), error.exit_code) == (CheckFailedError, 5)
    assert "66.7%" in error.problem
    assert "Erf 1" in error.problem


@pytest.mark.parametrize("require", [{"qnn": 0.9}, {"tpu": 0.9}, {"cpu": 0.0}, {"cpu": 1.5}])
def test_a_share_that_cannot_be_required(require: dict[str, float]) -> None:
    assert refused(GRAPH, require=require).exit_code == 3


def test_the_reason_is_the_first_error_of_the_log_or_a_telling_warning() -> None:
    line = "2026-11-22 [{}:onnxruntime:, file.cc:1 Function] {}\n"
    noise = line.format("W", "File mapped weights feature is only available on Windows")
    warning = line.format("W", "Invalid HTP architecture: 99")
    error = line.format("E", "[ONNXRuntimeError] : 11 : EP_FAIL : no device")
    assert reason_in(noise) == ""
    assert reason_in(noise + warning) == "Invalid HTP architecture: 99"
    assert reason_in(noise + warning + error) == "no device"
