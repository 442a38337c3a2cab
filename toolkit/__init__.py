"""From a PyTorch model to a verified, quantized ONNX model package, and onto the device."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# onnxruntime >= 1.29 uploads telemetry on Linux unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from toolkit.errors import CheckFailedError, InputError, SetupError, ToolkitError
    from toolkit.evaluate import evaluate, validate
    from toolkit.export import export
    from toolkit.inference import Model, load
    from toolkit.package import ModelPackage
    from toolkit.profiling import profile
    from toolkit.quantize import quantize
    from toolkit.training import Recipe, train

__version__ = "0.1.0"

_HOMES = {
    "CheckFailedError": "errors",
    "InputError": "errors",
    "Model": "inference",
    "ModelPackage": "package",
    "Recipe": "training",
    "SetupError": "errors",
    "ToolkitError": "errors",
    "evaluate": "evaluate",
    "export": "export",
    "load": "inference",
    "profile": "profiling",
    "quantize": "quantize",
    "train": "training",
    "validate": "evaluate",
}
"""Where each public name lives: importing the toolkit loads neither torch nor onnxruntime."""

__all__ = [
    "CheckFailedError",
    "InputError",
    "Model",
    "ModelPackage",
    "Recipe",
    "SetupError",
    "ToolkitError",
    "evaluate",
    "export",
    "load",
    "profile",
    "quantize",
    "train",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    value = getattr(import_module(f"toolkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
