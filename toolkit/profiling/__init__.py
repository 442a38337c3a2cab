"""Latency in fresh processes, with the percentiles and intervals that the runs support."""

from toolkit.profiling.report import MeasuredError, ProfileReport, RunFailedError
from toolkit.profiling.statistics import LatencyReport
from toolkit.profiling.step import profile

__all__ = [
    "LatencyReport",
    "MeasuredError",
    "ProfileReport",
    "RunFailedError",
    "profile",
]
