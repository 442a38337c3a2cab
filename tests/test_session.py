"""The seam around ONNX Runtime: which failure is the provider's, and which the model's."""

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from tests.tiny_package import GRAPH
from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.runtime import Provider, SessionOptions, open_session


@pytest.fixture
def cuda_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ort.InferenceSession

    def start(model: Path, settings: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        if providers != ["CPUExecutionProvider"]:
            raise RuntimeError("CUDA failure 35: no driver")
        return real(model, settings, providers=providers, enable_fallback=enable_fallback)

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", start)


@pytest.mark.usefixtures("cuda_that_does_not_start")
def test_a_provider_that_does_not_start_is_a_fault_of_the_setup() -> None:
    with pytest.raises(SetupError, match=r"CUDAExecutionProvider failed while loading .*no driver"):
        open_session(GRAPH, SessionOptions(provider=Provider.CUDA))


@pytest.mark.usefixtures("cuda_that_does_not_start")
def test_the_cpu_is_taken_where_fallback_is_allowed_with_a_warning() -> None:
    options = SessionOptions(provider=Provider.CUDA, allow_fallback=True)
    with pytest.warns(ToolkitWarning, match="running on the CPU"):
        opened = open_session(GRAPH, options)
    assert opened.provider is Provider.CPU
    assert [*opened.placement] == ["CPUExecutionProvider"]


@pytest.mark.usefixtures("cuda_that_does_not_start")
def test_a_broken_model_is_the_models_fault_on_any_provider(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"broken\.onnx"):
        open_session(tmp_path / "broken.onnx", SessionOptions(provider=Provider.CUDA))
