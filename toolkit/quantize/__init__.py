"""From a float variant to a smaller or faster one that keeps its promises."""

from toolkit.quantize.search import (
    Candidate,
    Limits,
    QuantizeFailedError,
    QuantizeReport,
    quantize,
)

__all__ = ["Candidate", "Limits", "QuantizeFailedError", "QuantizeReport", "quantize"]
