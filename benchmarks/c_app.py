"""A C bundle beside Python on the same graph, and how soon its program has answered.

    python -m benchmarks.c_app PACKAGE [--threads 1] [--rounds 10] [--runs 50]

The C program and a Python process take turns, each in a fresh process with the same feeds, threads
and ONNX Runtime library; the ratio is that of a round's two medians. "Start to first answer" is
from before the program is started to its first answer, both on the monotonic clock, less what
ONNX Runtime's CreateSession took. Both are given in processor time as well, which other processes
disturb less; that of the C program includes encoding and decoding.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.native import build, runtime_library

WARM_UP = 10


def in_python(folder: Path, runs: int, threads: int) -> dict[str, float]:
    """Milliseconds of the graph's runs on the bundle's first reference case, in this process."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import numpy as np
    import onnxruntime as ort

    about = json.loads((folder / "model/model.json").read_text(encoding="utf-8"))
    content = (folder / "model" / about["self_test"]["file"]).read_bytes()
    feeds = {
        one["name"]: np.frombuffer(content[one["offset"] :][: one["bytes"]], one["dtype"]).reshape(
            one["shape"]
        )
        for one in about["self_test"]["cases"][0]["inputs"]
    }
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        folder / "model" / about["graph"], options, providers=["CPUExecutionProvider"]
    )
    taken = []
    for run in range(WARM_UP + runs):
        if run == WARM_UP:
            cpu = time.process_time_ns()
        start = time.perf_counter_ns()
        session.run(None, feeds)
        taken.append((time.perf_counter_ns() - start) / 1e6)
    spent = (time.process_time_ns() - cpu) / 1e6 / runs
    return {"run_p50_ms": statistics.median_low(taken[WARM_UP:]), "cpu_ms": spent}


def said(command: Sequence[str], folder: Path, library: Path) -> dict[str, Any]:
    """The JSON that a program prints, and when it was started."""
    environment = {**os.environ, "ONNXRUNTIME_LIB": str(library), "ORT_DISABLE_TELEMETRY": "1"}
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "started_at_ms": started}


def compared(folder: Path, arguments: argparse.Namespace) -> Mapping[str, object]:
    """Both programs in turns."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        library = runtime_library(BundleOptions(), Path(scratch))
        assert library is not None
        program = build(folder, Path(scratch), BundleOptions())
        counts = [str(arguments.runs), str(arguments.threads)]
        in_c = [*program, "--threads", counts[1], "--bench", counts[0]]
        child = [sys.executable, "-m", "benchmarks.c_app", "--child", str(folder), *counts]
        for _ in range(arguments.rounds):
            ours.append(said(in_c, folder, library))
            theirs.append(said(child, Path.cwd(), library))
    cpu = [a["cpu_ms"] / b["cpu_ms"] for a, b in zip(ours, theirs, strict=True)]
    first_cpu = [one["first_answer_cpu_ms"] - one["session_creation_cpu_ms"] for one in ours]
    ratios = [a["run_p50_ms"] / b["run_p50_ms"] for a, b in zip(ours, theirs, strict=True)]
    first = [
        a["clock_at_first_answer_ms"] - a["started_at_ms"] - a["session_creation_ms"] for a in ours
    ]
    return {
        "runtime": ours[0]["runtime"],
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "runs": arguments.runs,
        "c_run_p50_ms": statistics.median(one["run_p50_ms"] for one in ours),
        "python_run_p50_ms": statistics.median(one["run_p50_ms"] for one in theirs),
        "ratio_median": statistics.median(ratios),
        "ratio_least_and_most": [min(ratios), max(ratios)],
        "c_cpu_ms": statistics.median(one["cpu_ms"] for one in ours),
        "python_cpu_ms": statistics.median(one["cpu_ms"] for one in theirs),
        "cpu_ratio_median": statistics.median(cpu),
        "cpu_ratio_least_and_most": [min(cpu), max(cpu)],
        "c_encode_run_decode_p50_ms": statistics.median(one["p50_ms"] for one in ours),
        "session_creation_ms": statistics.median(one["session_creation_ms"] for one in ours),
        "start_to_first_answer_less_session_ms": statistics.median(first),
        "least_of_it_ms": min(first),
        "cpu_of_it_ms": statistics.median(first_cpu),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bundle"
        bundle(arguments.package, target="c", output=folder, options=BundleOptions(self_test=False))
        print(json.dumps(compared(folder, arguments), indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        print(json.dumps(in_python(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
    else:
        main()
