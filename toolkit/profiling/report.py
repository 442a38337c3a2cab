"""What a profile found: data first, then a document or lines for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from toolkit.errors import InputError
from toolkit.machine import Machine
from toolkit.profiling.statistics import LatencyReport

Scenario = Literal["single-stream"]


@dataclass(frozen=True, kw_only=True)
class FreshTimes:
    """One duration measured in several fresh processes.

    Attributes:
        median_ms: Their median.
        values_ms: All of them, in order.
    """

    median_ms: float
    values_ms: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for; the same settings repeat the profile.

    Attributes:
        runs: Timed runs.
        warmup: Runs made and discarded before them.
        processes: Fresh processes for session creation and the first run.
        sizes: Sizes of symbolic dimensions that were given.
        seed: Seed of random feeds.
        provider: The execution provider.
        provider_options: Its options.
        allow_fallback: Whether the CPU would do.
        threads: Intra-op threads; 0 left the choice to ONNX Runtime (one a physical core).
        spinning: Whether idle threads spin.
        graph_level: The graph optimization level.
    """

    runs: int
    warmup: int
    processes: int
    sizes: Mapping[str, int]
    seed: int
    provider: str
    provider_options: Mapping[str, str]
    allow_fallback: bool
    threads: int
    spinning: bool
    graph_level: str


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything without which the numbers mean nothing.

    Attributes:
        model: The package's or file's name.
        variant: The package's variant; empty for a bare file.
        sha256: Digest of the model file.
        shapes: Shape by input.
        inputs: "reference" for the package's own, "random" for seeded ones.
        machine: Processor, system and versions.
        toolkit: The toolkit's version.
        date: UTC, ISO 8601.
    """

    model: str
    variant: str
    sha256: str
    shapes: Mapping[str, Sequence[int]]
    inputs: Literal["reference", "random"]
    machine: Machine
    toolkit: str
    date: str


@dataclass(frozen=True, kw_only=True)
class ProfileReport:
    """Latency of one model on one execution provider.

    Attributes:
        scenario: How the runs followed each other.
        latency: Of the steady state; None when no timed run was made.
        samples_per_run: Data items in one run.
        session_creation: In fresh processes.
        first_run: In the same processes; None when the model failed at once.
        peak_rss_mb: Of the measuring process, in 10^6 bytes; None where it cannot be read.
        provider: The execution provider that ran.
        placement: Graph nodes by ONNX Runtime's provider name.
        settings: What was asked for.
        environment: Where it was measured.
        failure: What ended the runs before their number; empty when all were made.
    """

    scenario: Scenario
    latency: LatencyReport | None
    samples_per_run: int
    session_creation: FreshTimes
    first_run: FreshTimes | None
    peak_rss_mb: float | None
    provider: str
    placement: Mapping[str, int]
    settings: Settings
    environment: Environment
    failure: str = ""

    @property
    def throughput_per_s(self) -> float | None:
        """Samples a second, one run after another."""
        if self.latency is None or self.latency.mean_ms == 0:
            return None
        return 1e3 * self.samples_per_run / self.latency.mean_ms

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        latency = self.latency
        return {
            "scenario": self.scenario,
            "samples": 0 if latency is None else latency.runs,
            "samples_per_run": self.samples_per_run,
            "warmup": self.settings.warmup,
            "latency_ms": {} if latency is None else _latency(latency),
            "interval_95": {} if latency is None else _by_name(latency.intervals_ms),
            "interval_needs_samples": {} if latency is None else _by_name(latency.runs_needed),
            "throughput_per_s": self.throughput_per_s,
            "session_creation_ms": _fresh(self.session_creation),
            "first_run_ms": None if self.first_run is None else _fresh(self.first_run),
            "peak_rss_mb": self.peak_rss_mb,
            "threads": self.settings.threads,
            "provider": self.provider,
            "placement": dict(self.placement),
            "settings": asdict(self.settings),
            "environment": _flat(self.environment),
            "failure": self.failure or None,
        }


class RunFailedError(InputError):
    """The model failed on one of the runs.

    Attributes:
        report: What was measured until then.
    """

    def __init__(
        self, problem: str, *, report: ProfileReport, expected: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, expected=expected, fix=fix)
        self.report = report


def _latency(latency: LatencyReport) -> dict[str, float]:
    return {
        "mean": latency.mean_ms,
        "min": latency.min_ms,
        "max": latency.max_ms,
        **_by_name(latency.percentiles_ms),
    }


def _by_name(values: Mapping[float, Any]) -> dict[str, Any]:
    return {f"p{percentile:g}": value for percentile, value in values.items()}


def _fresh(times: FreshTimes) -> dict[str, Any]:
    return {"median": times.median_ms, "values": list(times.values_ms)}


def _flat(environment: Environment) -> dict[str, Any]:
    document = asdict(environment)
    machine: dict[str, Any] = document.pop("machine")
    return {**document, **machine}
