"""`python -m benchmarks.placement MODEL.onnx`: what it costs to know where nodes were placed.

The same session is opened by turns with and without ONNX Runtime's record of the placement, which
the toolkit reads and counts each time. CPU time of the process is compared, of all its threads, so
that other processes do not matter; the ratio is the median of the pairs.
"""

import argparse
import gc
import statistics
import time
from pathlib import Path

import onnxruntime as ort

from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.chatter import stdout_kept
from toolkit.runtime.options import RECORD_KEY, ort_settings
from toolkit.runtime.placement import placement_of
from toolkit.runtime.plugins import devices, is_installed
from toolkit.runtime.provider_options import checked_options

GOAL = 0.05
"""Of the time of session creation."""


def creation_cpu_s(model: Path, options: SessionOptions, *, recorded: bool) -> float:
    """CPU seconds of one session creation, with its placement read where it is recorded."""
    given = checked_options(options.provider, options.provider_options)
    gc.collect()
    with stdout_kept():
        start = time.process_time()
        settings = ort_settings(options, {RECORD_KEY: "1" if recorded else "0"})
        if is_installed(options.provider):
            settings.add_provider_for_devices(devices(options.provider, given), given)
            session = ort.InferenceSession(model, settings, enable_fallback=0)
        else:
            name = options.provider.ort_name
            session = ort.InferenceSession(
                model, settings, providers=[(name, given)], enable_fallback=0
            )
        placed = placement_of(session).nodes if recorded else {}
        taken = time.process_time() - start
    if recorded and not placed.get(options.provider.ort_name):
        raise SystemExit(f"{options.provider.ort_name} runs no node of {model}: {placed}")
    return taken


def measured(model: Path, options: SessionOptions, pairs: int) -> tuple[float, list[float]]:
    """Median CPU seconds without the record, and the ratio of each pair."""
    creation_cpu_s(model, options, recorded=True)  # loads libraries
    without, ratios = [], []
    for pair in range(pairs):
        both = {}
        for recorded in (False, True) if pair % 2 else (True, False):
            both[recorded] = creation_cpu_s(model, options, recorded=recorded)
        without.append(both[False])
        ratios.append(both[True] / both[False])
    return statistics.median(without), ratios


def main() -> None:
    """Measure on the CPU, and on QNN where its wheel is installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placement", description=__doc__)
    parser.add_argument("model", type=Path, help="an .onnx file with the axes batch and sequence")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--sequence", type=int, default=64)
    asked = parser.parse_args()
    sizes = {"batch": 1, "sequence": asked.sequence}
    for provider in (Provider.CPU, Provider.QNN):
        if provider is not Provider.CPU and not is_installed(provider):
            print(f"{provider}: not installed")
            continue
        options = SessionOptions(provider=provider, fix_shapes=sizes, threads=1)
        seconds, ratios = measured(asked.model, options, asked.pairs)
        ratios.sort()
        print(
            f"{provider}: {seconds * 1000:.0f} ms of CPU time; with placement "
            f"{statistics.median(ratios) - 1:+.2%} (pairs {ratios[0] - 1:+.2%} to "
            f"{ratios[-1] - 1:+.2%}; {asked.pairs} pairs, goal {GOAL:.0%})"
        )


if __name__ == "__main__":
    main()
