"""Providers in libraries of their own; devices are faked, since each needs its own hardware."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import onnxruntime as ort
import pytest

from tests.tiny_package import GRAPH
from toolkit.errors import SetupError
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.plugins import devices
from toolkit.runtime.session import built_in_providers


def device(provider: Provider, kind: str) -> SimpleNamespace:
    hardware = SimpleNamespace(type=SimpleNamespace(name=kind))
    return SimpleNamespace(ep_name=provider.ort_name, device=hardware)


def has_devices(monkeypatch: pytest.MonkeyPatch, *found: SimpleNamespace) -> None:
    monkeypatch.setattr(ort, "get_ep_devices", lambda: list(found))


def test_the_device_that_was_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = (device(Provider.OPENVINO, kind) for kind in ("CPU", "GPU"))
    has_devices(monkeypatch, device(Provider.CPU, "CPU"), cpu, gpu)
    options = {"device_type": "gpu", "num_streams": "1"}
    assert devices(Provider.OPENVINO, options) == [gpu]
    assert options == {"num_streams": "1"}  # the plugin would ignore the other one
    assert devices(Provider.OPENVINO, {}) == [cpu]


def test_a_device_that_is_not_there_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    has_devices(monkeypatch, device(Provider.OPENVINO, "CPU"))
    with pytest.raises(SetupError, match="no device 'NPU'") as caught:
        devices(Provider.OPENVINO, {"device_type": "NPU"})
    assert caught.value.expected == "one of CPU"


def test_the_back_end_of_qnn_prefers_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {kind: device(Provider.QNN, kind) for kind in ("CPU", "GPU", "NPU")}
    has_devices(monkeypatch, *kinds.values())
    assert devices(Provider.QNN, {"backend_type": "htp"}) == [kinds["NPU"]]
    assert devices(Provider.QNN, {"backend_type": "gpu"}) == [kinds["GPU"]]
    has_devices(monkeypatch, kinds["CPU"])  # the simulator
    assert devices(Provider.QNN, {"backend_type": "htp"}) == [kinds["CPU"]]


def test_installed_plugins_are_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Provider.NNAPI.ort_name not in built_in_providers()
    module = SimpleNamespace(__spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_webgpu", module)
    assert Provider.WEBGPU.ort_name in built_in_providers()


@pytest.mark.skipif(
    find_spec("onnxruntime_ep_webgpu") is None,
    reason="onnxruntime-ep-webgpu, of the extra webgpu, is missing",
)
def test_the_plugin_of_webgpu_runs_or_says_that_there_is_no_device() -> None:
    try:
        session = open_session(GRAPH, SessionOptions(provider=Provider.WEBGPU))
    except SetupError as error:
        assert "finds no device" in error.problem  # noqa: PT017 - either is right
    else:
        assert session.placement[Provider.WEBGPU.ort_name] > 0


@pytest.mark.skipif(
    "OpenVINOExecutionProvider" not in built_in_providers(),
    reason="neither onnxruntime-openvino nor onnxruntime-ep-openvino is installed",
)
def test_openvino_runs_or_says_that_there_is_no_device() -> None:
    try:
        session = open_session(GRAPH, SessionOptions(provider=Provider.OPENVINO))
    except SetupError as error:
        assert "finds no device" in error.problem  # noqa: PT017 - either is right
    else:
        assert session.placement[Provider.OPENVINO.ort_name] > 0
