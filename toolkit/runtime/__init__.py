"""The one seam around ONNX Runtime: providers, sessions, placement."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.runtime.options import SessionOptions
    from toolkit.runtime.session import Session, open_session

__all__ = ["Provider", "Session", "SessionOptions", "open_session"]


def __getattr__(name: str) -> Any:
    # The command line needs the providers' names; only a session needs onnxruntime.
    if name not in __all__:
        raise AttributeError(f"module 'toolkit.runtime' has no attribute {name!r}")
    value = getattr(import_module("toolkit.runtime.session"), name)
    globals()[name] = value
    return value
