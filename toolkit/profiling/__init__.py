"""Latency in fresh processes, with the percentiles and intervals that the runs support."""

from toolkit.profiling.report import ProfileReport, RunFailedError
from toolkit.profiling.single_stream import profile
from toolkit.profiling.statistics import LatencyReport, measure_latency

__all__ = ["LatencyReport", "ProfileReport", "RunFailedError", "measure_latency", "profile"]
