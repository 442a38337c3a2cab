"""From a float variant to a smaller or faster one that keeps its promises."""

from toolkit.quantize.ending import QuantizeFailedError, QuantizeStoppedError
from toolkit.quantize.page import check_target as check_page
from toolkit.quantize.page import write as write_page
from toolkit.quantize.report import WITHOUT_LABELS, Candidate, Limits, QuantizeReport
from toolkit.quantize.search import quantize
from toolkit.quantize.trials import SearchOptions

__all__ = [
    "WITHOUT_LABELS",
    "Candidate",
    "Limits",
    "QuantizeFailedError",
    "QuantizeReport",
    "QuantizeStoppedError",
    "SearchOptions",
    "check_page",
    "quantize",
    "write_page",
]
