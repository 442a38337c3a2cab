"""From a float variant to a smaller or faster one that keeps its promises."""

from toolkit.quantize.report import Candidate, Limits, QuantizeFailedError, QuantizeReport
from toolkit.quantize.search import quantize

__all__ = ["Candidate", "Limits", "QuantizeFailedError", "QuantizeReport", "quantize"]
