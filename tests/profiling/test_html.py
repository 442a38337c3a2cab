"""The report as one file: nothing from a network, nothing unescaped, shown by a real browser."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.profiling import charts
from toolkit.profiling.charts import Interval
from toolkit.profiling.drawing import number, shortened, ticks
from toolkit.profiling.html import render
from toolkit.profiling.markup import element, join

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--hide-scrollbars", "--no-proxy-server"),
)
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


class Seen(HTMLParser):
    """Collects tags, addresses and texts, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "data"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(page: str) -> Seen:
    parser = Seen()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def full_page(name: str = "tiny.ortpackage") -> str:
    return render(document(name), histogram=HISTOGRAM)


def test_the_page_holds_no_script_and_no_address() -> None:
    page = full_page()
    found = seen(page)
    assert found.addresses == []
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}
    assert "url(" not in page
    assert "@import" not in page
    assert escape("default-src 'none'") in page


def test_every_part_is_shown() -> None:
    text = seen(full_page()).text
    for expected in (
        *("Latency", "Operators", "Roofline", "Placement", "Resources"),
        *(
            "Environment",
            "Settings",
            "Fast CPU 3000",
            "avx2, avx512f",
            "its interval needs 368 runs",
        ),
        *("1.250 ms", "Its time is not latency", "no counter here", "no GPU here", "moves no data"),
    ):
        assert expected in text


def test_a_comparison_is_a_forest_plot_and_sentences() -> None:
    page = render(comparison())
    text = seen(page).text
    assert "tiny.ortpackage is faster" in text
    assert "1.250 ms" in text
    for expected in (
        *("1.562", "0.7500 to ?", "48 turns of each in 4 rounds", "21 s"),
        *("threads 2, spinning no", "onnxruntime 1.31.1", "the other one leaves something out"),
    ):
        assert expected in text
    assert "provider cpu" in text
    assert "provider_options" not in text
    assert "d1ge57" not in text
    assert "estimate faster" in page
    assert "Latency over time" not in page


@pytest.mark.parametrize("made", [document, comparison])
def test_names_from_a_model_are_escaped_everywhere(made: Callable[[str], dict[str, Any]]) -> None:
    page = render(made(EVIL), histogram=HISTOGRAM)
    found = seen(page)
    assert "<script" not in page
    assert "script" not in found.tags
    assert found.text.count(EVIL) >= 3


def test_a_part_that_is_missing_is_left_out() -> None:
    text = seen(render({"environment": {"model": "bare.onnx"}})).text
    assert "bare.onnx" in text
    assert "Operators" not in text
    assert "Latency" not in text


def test_a_throughput_without_latency_has_its_interval() -> None:
    offline = {**document(), "scenario": "offline", "latency_ms": {}}
    text = seen(render({**offline, "throughput_interval_95": [790.0, 810.0]})).text
    assert "790.0 to 810.0 samples" in text
    assert "latency rose by 3 %" in text
    assert "1.250 ms" not in text.replace("The plain p50 is 1.250 ms", "")


def test_a_failure_stands_at_the_top() -> None:
    text = seen(render({**document(), "failure": "it broke"})).text
    assert text.index("it broke") < text.index("Operators")


def test_latency_over_time_has_a_line_for_each_percentile() -> None:
    page = full_page()
    assert page.count("<polyline") == 3  # p50, p90 where supported, the slowest
    assert "latency rose" in page
    assert "<polyline" not in render({**document(), "curve": []}, histogram=HISTOGRAM)


def test_one_slow_run_does_not_press_the_lines_over_time_together() -> None:
    def heights(slowest: float) -> list[float]:
        page = charts.over_time(
            [("p50", [(0, 1.0), (1, 1.1)]), ("p90", [(0, 1.5)]), ("max", [(0, slowest), (1, 2.0)])]
        )
        found = re.findall(r'points="[\d.]+,([\d.]+)', page)
        assert ("logarithmic" in page) == (slowest > 4)
        return [float(y) for y in found]

    p50, p90, _ = heights(3.0)
    assert p50 - p90 > 20
    p50, p90, _ = heights(100.0)
    assert p50 - p90 > 10
    assert "nan" not in charts.over_time([("p50", [(0, 0.0), (1, 5.0)])])


def test_a_percentile_beyond_the_bars_says_where_it_is() -> None:
    page = charts.histogram(HISTOGRAM, [("p50", 1.25), ("p99", 7.5)])
    assert ">p50<" in page
    assert "p99 is 7.50 ms, beyond this axis" in page
    assert "beyond" not in charts.histogram(HISTOGRAM[:3], [("p99", 1.59)])


def test_bounds_processes_and_the_session_are_shown() -> None:
    text = seen(full_page()).text
    for expected in (
        *("p90 at most (early stopping)", "80 independent runs", "needs 662 runs"),
        *("this process and period", "p50 by process: 1.250, 1.260, 1.310 ms", "Session"),
    ):
        assert expected in text
    assert "of package" not in text


def test_a_name_of_a_row_is_written_whole() -> None:
    name = "package@int8,threads=1,spinning=off,graph=basic,memory-pattern=off"
    row = Interval(name=name, value=1.0, low=0.9, high=1.1, kind="unsure")
    assert charts.forest([row]).count(name) == 2  # beside it, and where the pointer rests


def test_attributes_and_texts_are_escaped() -> None:
    assert element("p", "<&", title='"') == '<p title="&quot;">&lt;&amp;</p>'
    assert element("rect", stroke_width=2, class_=None) == '<rect stroke-width="2"/>'
    assert join(["a<", [element("b"), None], 3]) == "a&lt;<b></b>3"


@pytest.mark.parametrize(
    "value,text",
    [(0.0, "0"), (1234.5, "1,234"), (12.345, "12.35"), (0.012347, "0.01235"), (None, "")],
)
def test_numbers_keep_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_long_name_keeps_both_ends() -> None:
    assert shortened("package@fp32,threads=1", 9) == "pack…ds=1"
    assert shortened("short", 9) == "short"


def test_ticks_are_round_and_within() -> None:
    assert ticks(0.13, 1.02, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(5, 5) == [5]


@pytest.mark.parametrize(
    "rows",
    [
        [Interval(name="a", value=1.0, low=1.0, high=1.0, kind="unsure")],
        [Interval(name="b" * 99, value=40.0, low=0.01, high=None, kind="slower")],
    ],
)
def test_a_forest_takes_extreme_rows(rows: Sequence[Interval]) -> None:
    assert "nan" not in charts.forest(rows)


def requests_of(page: Path, picture: Path, *, size: str, dark: bool = False) -> list[str]:
    """Draw a page in Chromium, and list the addresses that the page asked for.

    Chromium asks its maker for the time and for updates; those requests have no origin.
    """
    assert CHROMIUM is not None
    profile = picture.with_suffix(".profile")
    log = picture.with_suffix(".netlog")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}"]
    command += [f"--screenshot={picture}", f"--log-net-log={log}", page.as_uri()]
    command += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shutil.rmtree(profile)
    written = json.loads(log.read_text(errors="replace"))
    started = written["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in written["events"] if event["type"] == started]
    return [
        params["url"]
        for params in asked
        if params.get("initiator", "not an origin") != "not an origin" and "url" in params
    ]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(
    "name,size,dark", [("wide", "1200,3000", False), ("narrow", "500,3000", True)]
)
def test_a_real_browser_shows_it_without_a_request(
    tmp_path: Path, name: str, size: str, dark: bool
) -> None:
    from PIL import Image

    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    page = artifacts / "report.html"
    page.write_text(full_page())
    picture = artifacts / f"{name}.png"
    assert requests_of(page, picture, size=size, dark=dark) == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L"))
    background = int(np.median(pixels))
    assert (background < 64) if dark else (background > 192)
    drawn = np.abs(pixels.astype(int) - background) > 32
    assert drawn.mean() > 0.02  # text and charts, and no blank page
    quarters = np.array_split(drawn, 4)
    assert all(quarter.any() for quarter in quarters)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_that_asks_for_something_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/picture.png">')
    assert requests_of(page, tmp_path / "asks.png", size="300,300") == [
        "http://127.0.0.1:9/picture.png"
    ]
