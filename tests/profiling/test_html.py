"""The report as one file: nothing from a network, nothing unescaped, shown by a real browser."""

import re
from collections.abc import Callable, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.profiling.pages import EVIL, HISTOGRAM, comparison, document, full_page
from toolkit.profiling import charts
from toolkit.profiling.charts import Interval
from toolkit.profiling.drawing import number, shortened, ticks
from toolkit.profiling.html import render
from toolkit.profiling.markup import element, join


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
