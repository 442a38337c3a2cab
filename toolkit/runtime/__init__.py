"""The one seam around ONNX Runtime: providers, sessions, placement."""

from toolkit.runtime.providers import Provider
from toolkit.runtime.session import Session, SessionOptions, open_session

__all__ = ["Provider", "Session", "SessionOptions", "open_session"]
