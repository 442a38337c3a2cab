"""What tuning found: data first, then a document or a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolkit import __version__

Settings = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One candidate beside the defaults.

    Attributes:
        settings: What differs from the defaults, as `--compare` takes it; for a split, its words.
        speed: Latency of the defaults over that of the candidate.
        interval_95: Its interval.
        stage: "screening" or "confirmation".
        agrees: Whether it gives the same answers.
    """

    settings: Settings
    speed: float
    interval_95: tuple[float, float]
    stage: str
    agrees: bool


@dataclass(frozen=True, kw_only=True)
class TuneReport:
    """What tuning found.

    Attributes:
        package: The package's name.
        variant: The variant.
        chosen: The settings that were written; empty where none was faster for certain.
        speed: Latency of the defaults over theirs, as confirmed; None where nothing was written.
        interval_95: Its interval.
        session_options: What was written into the variant.
        batch: Samples a run for the highest throughput, of those tried; None where none was faster
            than the toolkit's own for certain.
        sessions: Sessions beside each other for the same.
        session_threads: Intra-op threads of each of them.
        tried: Everything that was measured.
        machine: The class of machine that it holds for.
        date: UTC, ISO 8601.
    """

    package: str
    variant: str
    chosen: Settings
    speed: float | None
    interval_95: tuple[float, float] | None
    session_options: Settings
    batch: int | None
    sessions: int | None
    session_threads: int | None
    tried: Sequence[Tried]
    machine: Mapping[str, Any]
    date: str

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {"scenario": "tuning", **asdict(self), "toolkit": __version__}

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if self.interval_95 is None:
            return f"cannot tell any session option from the defaults of {self.variant}"
        low, high = self.interval_95
        shown = ",".join(f"{key}={value}" for key, value in self.chosen.items())
        return (
            f"{shown} is faster: the defaults take {self.speed:.3f} times as long "
            f"(95 % interval {low:.3f} to {high:.3f}); written into {self.variant}"
        )
