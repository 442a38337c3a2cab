"""Documents of reports that pages are made of in tests."""

from typing import Any

from toolkit.profiling.html import render

EVIL = '<script>alert("x")</script>&\'"'
HISTOGRAM = ((1.0, 1.2, 30), (1.2, 1.4, 60), (1.4, 1.6, 5), (1.6, 9.0, 5))


def node(name: str, share: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "op": "MatMul",
        "provider": "CPUExecutionProvider",
        "calls": 1,
        "ms": share,
        "share": share,
        "activation_bytes": 4096,
        "parameter_bytes": 0,
        "output_bytes": 2048,
        "operations": 4_000_000,
        "bytes": 100_000,
        "intensity": 40.0,
        "gops": 20.0,
        "percent_of_roof": 20.0,
        "bound": "compute",
        "not_counted": None,
        **more,
    }


def comparison(name: str = "tiny.ortpackage") -> dict[str, Any]:
    """What `--compare --json` prints."""
    return {
        "scenario": "comparison",
        "subject": name,
        "latency_ms": {"p50": 1.25},
        "comparisons": [
            {
                "beside": f"other {name}",
                "verdict": "faster",
                "ratio": 0.8,
                "interval_95": [0.75, None],
                "latency_ms": {"p50": 1.5625},
                "sentence": f"{name} is faster",
            }
        ],
        "rounds": 4,
        "pairs": 48,
        "seconds": 21.4,
        "contenders": {
            name: {"session": {"threads": 2, "spinning": False, "tuned": []}, "sha256": "d1ge57"},
            f"other {name}": {"onnxruntime": "1.31.1"},
        },
        "notes": ["the other one leaves something out"],
        "settings": {"options": {"provider": "cpu", "provider_options": {}}},
        "environment": {"model": name},
    }


def document(name: str = "tiny.ortpackage") -> dict[str, Any]:
    """What `--json` prints, with every part of a profile."""
    peaks = {
        "threads": 2,
        "float32_gops": 100.0,
        "int8_gops": 400.0,
        "copy_gb_s": [[10_000, 50.0], [1_000_000, 10.0]],
        "node_ms": 0.001,
    }
    group = {"nodes": 2, "calls": 2, "ms": 0.9, "share": 0.9}
    return {
        "scenario": "single-stream",
        "samples": 100,
        "latency_ms": {"mean": 1.3, "min": 1.0, "max": 9.0, "p50": 1.25, "p99": 2.0},
        "interval_95": {"p50": [1.2, 1.3]},
        "interval_needs_samples": {"p99": 368},
        "interval_is_of": "this process and period",
        "p50_by_process": [1.25, 1.26, 1.31],
        "independent_samples": {"p50": 90, "p90": 80, "p99": 95},
        "upper_bound_99": {"p90": 1.8},
        "upper_bound_needs_samples": {"p99": 662},
        "session": {"threads": 2, "spinning": False, "graph_level": "all", "of_package": {}},
        "findings": ["latency rose by 3 %"],
        "curve": [
            {
                "from_s": i,
                "to_s": i + 1,
                "runs": 30,
                "percentiles_ms": {"p50": 1.2 + i / 50, **({"p90": 1.5} if i else {})},
                "max_ms": 2 + i % 3,
            }
            for i in range(8)
        ],
        "throughput_per_s": 800.0,
        "session_creation_ms": {"median": 20.0, "values": [19.0, 20.0, 21.0]},
        "first_run_ms": {"median": 2.0, "values": [2.0, 2.0, 2.0]},
        "peak_rss_mb": 70.0,
        "provider": "cpu",
        "placement": {"CPUExecutionProvider": 3},
        "operators": {
            "instrumented": {
                "runs": 30,
                "run_ms": 3.0,
                "nodes_ms": 1.0,
                "plain_p50_ms": 1.25,
                "threads": 2,
            },
            "by_operator": [{"op": "MatMul", **group}],
            "by_provider": [{"provider": "CPUExecutionProvider", **group}],
            "arena_peak_bytes": 3_000_000,
            "nodes": [
                node(name, 0.9),
                node("unknown", 0.1, bound=None, intensity=None, percent_of_roof=None),
            ],
            "roofline": {
                "one_thread": peaks,
                "all_threads": peaks,
                "counted_share": 0.9,
                "percent_of_roof": 20.0,
                "share_by_bound": {"compute": 0.9},
                "not_counted": [{"op": "Reshape", "why": "moves no data", "share": 0.1}],
                "notes": ["bytes count once"],
            },
            "notes": [],
        },
        "resources": {
            "runs": 100,
            "threads": 2,
            "empty": {"rss_mb": 50.0, "pss_mb": 40.0, "uss_mb": None, "file_mb": 9.0},
            "loaded": {"rss_mb": 60.0, "pss_mb": 50.0, "uss_mb": 30.0, "file_mb": 9.0},
            "steady": {"rss_mb": 61.0, "pss_mb": 51.0, "uss_mb": 31.0, "file_mb": 9.0},
            "peak_rss_mb": 70.0,
            "model_load_mb": 10.0,
            "model_file_mb": 5.0,
            "cpu_ms_per_run": 2.0,
            "wall_ms_per_run": 1.0,
            "cpu_utilization": 2.0,
            "energy_joules_per_run": None,
            "gpus": None,
            "why_not": {"energy_joules_per_run": "no counter here", "gpus": "no GPU here"},
        },
        "settings": {"runs": 100, "spinning": True},
        "environment": {
            "model": name,
            "variant": "fp32",
            "shapes": {"x": [1, 3]},
            "cpu": "Fast CPU 3000",
            "cpu_features": ["avx2", "avx512f"],
            "date": "2026-11-22T00:00:00+00:00",
        },
    }


def full_page(name: str = "tiny.ortpackage") -> str:
    return render(document(name), histogram=HISTOGRAM)
