"""What `toolkit profile` is asked to measure: scenario, data, shapes, number of runs."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.options import pairs

UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class ScenarioWord(StrEnum):
    """A scenario of MLPerf's, by the word that `--scenario` takes."""

    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    SERVER = "server"
    OFFLINE = "offline"


def seconds(text: str) -> float:
    """Seconds of a text such as 10m, 30s, 5ms or 2.5, which is seconds.

    Raises:
        typer.BadParameter: It is no duration.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", str(text))
    unit = found[2] or "s" if found else ""
    if found is None or unit not in UNITS_S:
        raise typer.BadParameter(f"{text!r} is no duration such as 5ms, 30s or 10m")
    return float(found[1]) * UNITS_S[unit]


def some_seconds(text: str) -> float:
    """Seconds of a text, more than none; see `seconds`.

    Raises:
        typer.BadParameter: It is no duration, or none at all.
    """
    found = seconds(text)
    if found <= 0:
        raise typer.BadParameter(f"{text!r}: it must be more than 0 s")
    return found


def milliseconds(text: str) -> float:
    """Milliseconds of a text such as 5ms, which must name its unit; see `some_seconds`.

    Raises:
        typer.BadParameter: It is no duration, none at all, or a number without a unit.
    """
    if text.strip()[-1:].isdigit():
        raise typer.BadParameter(f"{text!r} has no unit: write {text.strip()}ms or {text.strip()}s")
    return 1e3 * some_seconds(text)


def positive(text: str) -> float:
    """A number above 0.

    Raises:
        typer.BadParameter: It is none.
    """
    found = _number(text)
    if not (found > 0 and math.isfinite(found)):
        raise typer.BadParameter(f"{text!r} is not more than 0")
    return found


def percentage(text: str) -> float:
    """A number above 0 and below 100.

    Raises:
        typer.BadParameter: It is none.
    """
    found = _number(text)
    if not 0 < found < 100:
        raise typer.BadParameter(f"{text!r} is not above 0 and below 100")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number") from error


ScenarioOption = Annotated[
    ScenarioWord,
    typer.Option("--scenario", help="How runs follow each other, as MLPerf has it."),
]
StreamsOption = Annotated[
    int | None,
    typer.Option(
        "--streams",
        min=1,
        help="Samples of a query of the multi-stream scenario.",
        show_default="8",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        parser=positive,
        metavar="NUMBER",
        help="Queries a second of the server scenario.",
        show_default=False,
    ),
]
FindRateOption = Annotated[
    bool,
    typer.Option("--find-rate", help="Search the highest rate whose p99 is under the bound."),
]
LatencyBoundOption = Annotated[
    float | None,
    typer.Option(
        "--latency-bound",
        parser=milliseconds,
        metavar="DURATION",
        help="What the server's p99 must stay under, such as 5ms.",
        show_default=False,
    ),
]
SessionsOption = Annotated[
    int | None,
    typer.Option(
        "--sessions",
        min=1,
        help="Sessions beside each other, for server and offline.",
        show_default="1 to serve; offline what --tune found here, or one a core",
    ),
]
TokensOption = Annotated[
    int | None,
    typer.Option(
        "--batch-tokens",
        min=1,
        help="Padded tokens of an offline batch of texts.",
        show_default="256",
    ),
]
RunsOption = Annotated[
    int | None,
    typer.Option(
        "--runs",
        min=1,
        help="Timed runs, queries or passes.",
        show_default="as many as the percentiles need, for 10 s at most",
    ),
]
WarmupOption = Annotated[
    int | None,
    typer.Option(
        "--warmup",
        min=0,
        help="Runs made and discarded before them.",
        show_default="until they are steady, for 2 s at most",
    ),
]
SustainedOption = Annotated[
    float | None,
    typer.Option(
        "--sustained",
        parser=some_seconds,
        metavar="DURATION",
        help="Go on for this long, such as 10m, and show a curve over time.",
        show_default=False,
    ),
]
PercentileOption = Annotated[
    list[float] | None,
    typer.Option(
        "--percentile",
        parser=percentage,
        metavar="NUMBER",
        help="A percentile that must get its interval; may be repeated.",
        show_default="50, 90, 95 and 99, as far as the runs carry them",
    ),
]
ProfileDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Real samples for the package's task: .csv, .jsonl (also .gz) or .npz.",
        show_default=False,
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        help="A graph input from a file (.npy, .npz, .json or an image); may be repeated.",
        metavar="NAME=FILE",
        show_default=False,
    ),
]
ShapesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        help=(
            "Sizes of symbolic dimensions, such as batch=8,sequence=128; several sizes, such as "
            "sequence=16,64,256, give one report each. May be repeated."
        ),
        metavar="NAME=SIZE,...",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class AskedScenario:
    """What was typed of it."""

    scenario: ScenarioWord
    streams: int | None
    rate: float | None
    find_rate: bool
    latency_bound_ms: float | None
    sessions: int | None
    tokens: int | None
    percentile: Sequence[float] | None

    def document(self) -> dict[str, Any]:
        """The scenario as `profile` takes it.

        Raises:
            typer.BadParameter: An option belongs to another scenario.
        """
        word = self.scenario
        belongs: dict[str, tuple[object, tuple[ScenarioWord, ...]]] = {
            "--streams": (self.streams, (ScenarioWord.MULTI_STREAM,)),
            "--rate": (self.rate, (ScenarioWord.SERVER,)),
            "--find-rate": (self.find_rate or None, (ScenarioWord.SERVER,)),
            "--latency-bound": (self.latency_bound_ms, (ScenarioWord.SERVER,)),
            "--sessions": (self.sessions, (ScenarioWord.SERVER, ScenarioWord.OFFLINE)),
            "--batch-tokens": (self.tokens, (ScenarioWord.OFFLINE,)),
            "--percentile": (
                self.percentile,
                tuple(one for one in ScenarioWord if one is not ScenarioWord.OFFLINE),
            ),
        }
        for name, (value, words) in belongs.items():
            if value is not None and word not in words:
                raise typer.BadParameter(
                    f"it belongs to --scenario {' or '.join(words)}", param_hint=name
                )
        if self.find_rate and (self.rate is not None or self.latency_bound_ms is None):
            raise typer.BadParameter(
                "it needs --latency-bound and no --rate", param_hint="--find-rate"
            )
        if word is ScenarioWord.SERVER and self.rate is None and not self.find_rate:
            raise typer.BadParameter("give --rate, or --find-rate with --latency-bound")
        named: dict[str, object] = {
            "streams": self.streams,
            "rate_per_s": self.rate,
            "latency_bound_ms": self.latency_bound_ms,
            "sessions": self.sessions,
            "tokens": self.tokens,
        }
        return {"name": str(word), **{k: v for k, v in named.items() if v is not None}}


def shape_points(typed: Sequence[str] | None) -> list[dict[str, int]]:
    """Every combination of the sizes in `--shape` texts; one empty one for none.

    `batch=8,sequence=128` is one point and `sequence=16,64` two: what has no name belongs to the
    name before it.

    Raises:
        typer.BadParameter: A size is no positive whole number, or has no name.
    """
    sizes: dict[str, list[int]] = {}
    for text in typed or ():
        name = ""
        for part in (part.strip() for part in text.split(",")):
            head, equals, value = part.rpartition("=")
            if not part:
                continue
            if equals:
                name = head.strip()
            if not name:
                raise typer.BadParameter(
                    f"{part!r} is no NAME=SIZE, such as batch=8", param_hint="--shape"
                )
            if not value.strip().isdecimal() or int(value) < 1:
                raise typer.BadParameter(
                    f"{name}={value}: a size is a positive whole number", param_hint="--shape"
                )
            if equals and name in sizes:
                raise typer.BadParameter(f"{name!r} is given twice", param_hint="--shape")
            sizes.setdefault(name, []).append(int(value))
    return [dict(zip(sizes, point, strict=True)) for point in itertools.product(*sizes.values())]


def input_files(typed: Sequence[str] | None) -> dict[str, str]:
    """NAME=FILE texts as a mapping."""
    return dict(pairs(typed, option="--input"))
