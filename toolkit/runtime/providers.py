"""The execution providers that the toolkit knows, and where each one comes from."""

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
        return _ORT_NAMES[self]

    @property
    def origin(self) -> str:
        """What ships it: a wheel, or a build for another machine."""
        return _ORIGINS[self]


_ORT_NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.QNN: "QNNExecutionProvider",
    Provider.WEBGPU: "WebGpuExecutionProvider",
    Provider.COREML: "CoreMLExecutionProvider",
    Provider.NNAPI: "NnapiExecutionProvider",
    Provider.XNNPACK: "XnnpackExecutionProvider",
    Provider.DIRECTML: "DmlExecutionProvider",
}

_ORIGINS = {
    Provider.CPU: "pip install onnx-edge-toolkit[cpu]",
    Provider.CUDA: "pip install onnx-edge-toolkit[gpu]   (instead of [cpu])",
    Provider.TENSORRT: "pip install onnx-edge-toolkit[gpu] and TensorRT's libraries",
    Provider.OPENVINO: "the wheel onnxruntime-openvino, in an environment of its own",
    Provider.QNN: "pip install onnx-edge-toolkit[qnn]",
    Provider.WEBGPU: "onnxruntime-web in a browser",
    Provider.COREML: "the macOS wheel of onnxruntime, and the iOS library",
    Provider.NNAPI: "the Android library of onnxruntime",
    Provider.XNNPACK: "the Android and iOS libraries of onnxruntime",
    Provider.DIRECTML: "the wheel onnxruntime-directml on Windows",
}
