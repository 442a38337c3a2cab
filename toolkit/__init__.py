"""From a PyTorch model to a verified, quantized ONNX model package, and onto the device."""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

# onnxruntime >= 1.29 uploads telemetry on Linux unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from toolkit.bundle import bundle
    from toolkit.bundle.signing import verify
    from toolkit.compiling import compile  # noqa: A004 - the command's name
    from toolkit.errors import CheckFailedError, InputError, SetupError, ToolkitError
    from toolkit.evaluate.scoring import evaluate
    from toolkit.evaluate.validation import validate
    from toolkit.export import export
    from toolkit.inference import Model, load
    from toolkit.optimize.step import optimize
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
    "bundle": "bundle",
    "compile": "compiling",
    "evaluate": "evaluate.scoring",
    "export": "export",
    "load": "inference",
    "optimize": "optimize.step",
    "profile": "profiling",
    "quantize": "quantize",
    "train": "training",
    "validate": "evaluate.validation",
    "verify": "bundle.signing",
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
    "bundle",
    "compile",
    "evaluate",
    "export",
    "load",
    "optimize",
    "profile",
    "quantize",
    "train",
    "validate",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    value = getattr(import_module(f"toolkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """Keeps `toolkit.export` the function after `toolkit.export`, the folder, was imported."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds every loaded submodule here; public names stay functions.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
