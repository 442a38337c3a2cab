"""The execution providers that the toolkit knows, and where each one comes from."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Provider(StrEnum):
    """An execution provider, by the word that `--provider` takes."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"
    QNN = "qnn"
    WEBGPU = "webgpu"
    COREML = "coreml"
    NNAPI = "nnapi"
    XNNPACK = "xnnpack"
    DIRECTML = "directml"

    @property
    def ort_name(self) -> str:
        """ONNX Runtime's name of it."""
        return _ENTRIES[self].ort_name

    @property
    def origin(self) -> str:
        """What ships it: a wheel, or a build for another machine."""
        return _ENTRIES[self].origin

    @property
    def extra(self) -> str:
        """The extra of the toolkit that brings it; empty for none."""
        return _ENTRIES[self].extra

    @property
    def plugin(self) -> str:
        """The module whose `get_library_path()` names its library; empty where none does."""
        return _ENTRIES[self].plugin

    @property
    def needs_fixed_shapes(self) -> bool:
        """Whether it takes (almost) no node of a graph with symbolic dimensions."""
        return _ENTRIES[self].needs_fixed_shapes

    @property
    def default_options(self) -> Mapping[str, str]:
        """Options that it is opened with where no others are given."""
        if self is Provider.QNN and _is_simulated():
            return {**_ENTRIES[self].default_options, "soc_model": DEFAULT_CHIP}
        return _ENTRIES[self].default_options


DEFAULT_CHIP = "57"
"""The chip that QNN's simulator compiles for where none is named: SM8650, Snapdragon 8 Gen 3."""


def provider_of(ort_name: str) -> Provider | None:
    """The provider that ONNX Runtime calls so; None for one that the toolkit does not know."""
    return next((one for one in Provider if one.ort_name == ort_name), None)


def _is_simulated() -> bool:
    """Whether QNN has no chip of its own to ask: the wheel for x86-64 holds a simulator."""
    return platform.machine().lower() in {"x86_64", "amd64"}


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What the properties of `Provider` say."""

    ort_name: str
    origin: str
    extra: str = ""
    plugin: str = ""
    needs_fixed_shapes: bool = False
    default_options: Mapping[str, str] = field(default_factory=dict)


_ENTRIES = {
    Provider.CPU: _Entry(
        ort_name="CPUExecutionProvider", origin="pip install onnx-edge-toolkit[cpu]", extra="cpu"
    ),
    Provider.CUDA: _Entry(
        ort_name="CUDAExecutionProvider",
        origin="pip install onnx-edge-toolkit[gpu]   (instead of [cpu])",
        extra="gpu",
    ),
    Provider.TENSORRT: _Entry(
        ort_name="TensorrtExecutionProvider",
        origin="pip install onnx-edge-toolkit[gpu] and TensorRT's libraries",
        extra="gpu",
    ),
    Provider.OPENVINO: _Entry(
        ort_name="OpenVINOExecutionProvider",
        origin="pip install onnx-edge-toolkit[openvino], or the wheel onnxruntime-openvino in an "
        "environment of its own",
        extra="openvino",
        plugin="onnxruntime_ep_openvino",
    ),
    Provider.QNN: _Entry(
        ort_name="QNNExecutionProvider",
        origin="pip install onnx-edge-toolkit[qnn]",
        extra="qnn",
        plugin="onnxruntime_qnn",
        needs_fixed_shapes=True,
        default_options={"backend_type": "htp"},
    ),
    Provider.WEBGPU: _Entry(
        ort_name="WebGpuExecutionProvider",
        origin="pip install onnx-edge-toolkit[webgpu], or onnxruntime-web in a browser",
        extra="webgpu",
        plugin="onnxruntime_ep_webgpu",
    ),
    Provider.COREML: _Entry(
        ort_name="CoreMLExecutionProvider",
        origin="the macOS wheel of onnxruntime, and the iOS library",
    ),
    Provider.NNAPI: _Entry(
        ort_name="NnapiExecutionProvider",
        origin="the Android library of onnxruntime",
        needs_fixed_shapes=True,
    ),
    Provider.XNNPACK: _Entry(
        ort_name="XnnpackExecutionProvider",
        origin="the Android and iOS libraries of onnxruntime",
    ),
    Provider.DIRECTML: _Entry(
        ort_name="DmlExecutionProvider", origin="the wheel onnxruntime-directml on Windows"
    ),
}
