"""What a profile found: data first, then a document or lines for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from msgspec import to_builtins

from toolkit.errors import CheckFailedError, InputError, StoppedError, ToolkitError
from toolkit.machine import Machine
from toolkit.profiling.conditions import Conditions
from toolkit.profiling.curve import TimeSlice
from toolkit.profiling.in_force import InForce
from toolkit.profiling.loop import WarmUp
from toolkit.profiling.queries import InputKind
from toolkit.profiling.rate import Trial
from toolkit.profiling.scenarios import ScenarioName
from toolkit.profiling.statistics import LatencyReport
from toolkit.profiling.throughput import Throughput

INTERVAL_IS_OF = "this process and period"
"""What intervals of percentiles are about: other processes of one file differ by percents."""


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
        scenario: The scenario with its numbers; see `toolkit.profiling.scenarios`.
        runs: Timed runs; None for as many as the percentiles need.
        warmup: Runs made and discarded before them; None for as many as it takes.
        warmup_limit_s: The longest that waiting for steady runs may take.
        budget_s: The longest that the timed runs may take; None for the default.
        sustained_s: How long to go on; 0 for no longer than needed.
        percentiles: Those that are reported.
        must_carry: Whether each of them must get its interval.
        processes: Fresh processes for session creation and the first run.
        data: The data file's name; empty for none.
        text_column: The column of the text that was named.
        where: Rows of the data that were taken.
        inputs: A file's name by input.
        sizes: Sizes of symbolic dimensions that were given.
        seed: Seed of random feeds, of the data's order and of arrivals.
        provider: The execution provider.
        provider_options: Its options.
        allow_fallback: Whether the CPU would do.
        require: The least share of the nodes that the provider must run, by its word.
        fix_shapes: Sizes of symbolic dimensions that were fixed before the graph was optimized.
        threads: Intra-op threads that were asked for; 0 for none, see `ProfileReport.session`.
        spinning: Whether idle threads may spin.
        graph_level: The graph optimization level that was asked for.
    """

    scenario: Mapping[str, Any]
    runs: int | None
    warmup: int | None
    warmup_limit_s: float
    budget_s: float | None
    sustained_s: float
    percentiles: Sequence[float]
    must_carry: bool
    processes: int
    data: str
    text_column: str
    where: Mapping[str, str]
    inputs: Mapping[str, str]
    sizes: Mapping[str, int]
    seed: int
    provider: str
    provider_options: Mapping[str, str]
    allow_fallback: bool
    require: Mapping[str, float]
    fix_shapes: Mapping[str, int]
    threads: int
    spinning: bool
    graph_level: str


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything without which the numbers mean nothing.

    Attributes:
        model: The package's or file's name.
        variant: The package's variant, COMPONENT/VARIANT where there are several components; empty
            for a bare file.
        sha256: Digest of the model file.
        package_sha256: Digest of the package's documents, which hold its session options and the
            digest of every file; empty for a bare file.
        data_sha256: Digest of the data file; empty for none.
        inputs_sha256: Digest of the file of each input that was given.
        shapes: Shape by input.
        inputs: "reference" for the package's own, "random" for seeded ones, "data" for a data
            set's, "files" for tensors that were given.
        machine: Processor, system and versions.
        toolkit: The toolkit's version.
        date: UTC, ISO 8601.
    """

    model: str
    variant: str
    sha256: str
    package_sha256: str
    data_sha256: str
    inputs_sha256: Mapping[str, str]
    shapes: Mapping[str, Sequence[int]]
    inputs: InputKind
    machine: Machine
    toolkit: str
    date: str


@dataclass(frozen=True, kw_only=True)
class ProfileReport:
    """Latency of one model on one execution provider.

    Attributes:
        scenario: How the runs followed each other.
        latency: Of the steady state, of one run, query or pass; None when none was timed.
        samples_per_run: Data items in one run, query or pass.
        warmup: What came before the timed runs; None when it was not reached.
        findings: What a reader must know of the runs, in words.
        conditions: What the machine did during the runs.
        curve: Percentiles over time.
        rate_per_s: At which queries arrived, or the highest that was found; server only.
        served_per_s: Queries that were answered a second; server only.
        busy_share: Share of its time that the server was busy; None for other scenarios.
        trials: Rates that were tried to find the highest.
        passes: What one pass of the offline scenario holds; None for other scenarios.
        session_creation: In fresh processes.
        first_run: In the same processes; None when the model failed at once.
        process_medians_ms: p50 in each fresh process: of all timed runs in the first, of runs for
            a second in the others.
        peak_rss_mb: Of the measuring process, in 10^6 bytes; None where it cannot be read.
        provider: The execution provider that ran.
        session: The session options that it ran with, whoever asked for them.
        placement: Graph nodes by ONNX Runtime's provider name.
        elsewhere: Nodes by operator type that another provider than `provider` runs.
        settings: What was asked for.
        environment: Where it was measured.
        failure: What ended the runs before their number; empty when all were made.
    """

    scenario: ScenarioName
    latency: LatencyReport | None
    samples_per_run: int
    session_creation: FreshTimes
    first_run: FreshTimes | None
    peak_rss_mb: float | None
    provider: str
    session: InForce
    placement: Mapping[str, int]
    settings: Settings
    environment: Environment
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    failure: str = ""
    process_medians_ms: Sequence[float] = ()
    warmup: WarmUp | None = None
    findings: Sequence[str] = ()
    conditions: Conditions = field(default_factory=Conditions)
    curve: Sequence[TimeSlice] = ()
    rate_per_s: float | None = None
    served_per_s: float | None = None
    busy_share: float | None = None
    trials: Sequence[Trial] = ()
    passes: Throughput | None = None

    @property
    def throughput_per_s(self) -> float | None:
        """Samples a second.

        One run after another: those of a run over its mean time. Server: those that were
        answered, from the first arrival to the last answer.
        Offline: those of a pass over the median pass.
        """
        if self.latency is None or self.latency.mean_ms == 0:
            return None
        if self.scenario == "server":
            return self.served_per_s and self.served_per_s * self.samples_per_run
        is_offline = self.scenario == "offline"
        ms = self.latency.percentiles_ms[50] if is_offline else self.latency.mean_ms
        return 1e3 * self.samples_per_run / ms

    @property
    def throughput_interval(self) -> tuple[float, float] | None:
        """95 % interval of the offline scenario's throughput, from that of the median pass."""
        if self.scenario != "offline" or self.latency is None:
            return None
        interval = self.latency.intervals_ms.get(50)
        if interval is None:
            return None
        return tuple(1e3 * self.samples_per_run / ms for ms in reversed(interval))  # type: ignore[return-value]  # two ends stay two

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        # A pass over a data set is no latency that anybody waits for: MLPerf states none either.
        latency = None if self.scenario == "offline" else self.latency
        return {
            "scenario": self.scenario,
            "samples": 0 if self.latency is None else self.latency.runs,
            "samples_per_run": self.samples_per_run,
            "warmup": None if self.warmup is None else to_builtins(self.warmup),
            "latency_ms": {} if latency is None else _latency(latency),
            "interval_95": {} if latency is None else _by_name(latency.intervals_ms),
            "interval_is_of": INTERVAL_IS_OF,
            "p50_by_process": list(self.process_medians_ms),
            "interval_needs_samples": {} if latency is None else _by_name(latency.runs_needed),
            "independent_samples": {} if latency is None else _by_name(latency.independent_runs),
            "upper_bound_99": {} if latency is None else _by_name(latency.upper_bounds_ms),
            "upper_bound_needs_samples": {} if latency is None else _by_name(latency.bound_needs),
            "drift": _drift(self.latency),
            "findings": list(self.findings),
            "curve": [to_builtins(part) for part in self.curve],
            "conditions": to_builtins(self.conditions),
            "throughput_per_s": self.throughput_per_s,
            "throughput_interval_95": self.throughput_interval,
            "rate_per_s": self.rate_per_s,
            "served_per_s": self.served_per_s,
            "busy_share": self.busy_share,
            "trials": [to_builtins(trial) for trial in self.trials],
            "pass": None if self.passes is None else _pass(self.passes, self.latency),
            "session_creation_ms": _fresh(self.session_creation),
            "first_run_ms": None if self.first_run is None else _fresh(self.first_run),
            "peak_rss_mb": self.peak_rss_mb,
            "threads": self.session.threads,
            "session": self.session.as_json(),
            "provider": self.provider,
            "placement": dict(self.placement),
            "elsewhere": dict(self.elsewhere),
            "settings": asdict(self.settings),
            "environment": _flat(self.environment),
            "failure": self.failure or None,
        }


class MeasuredError(ToolkitError):
    """The measurement ended otherwise than was asked for.

    Attributes:
        report: What was measured until then.
    """

    def __init__(
        self, problem: str, *, report: ProfileReport, expected: str = "", fix: str = ""
    ) -> None:
        super().__init__(problem, expected=expected, fix=fix)
        self.report = report


class RunFailedError(MeasuredError, InputError):
    """The model failed on one of the runs."""


class RunsStoppedError(MeasuredError, StoppedError):
    """The user ended the runs."""


class TooFewRunsError(MeasuredError, InputError):
    """The runs that the budget allowed cannot carry a percentile that was asked for."""


class RateMissedError(MeasuredError, CheckFailedError):
    """Queries came faster than they were answered, or p99 was over the bound."""


def _drift(latency: LatencyReport | None) -> dict[str, Any] | None:
    return None if latency is None or latency.drift is None else asdict(latency.drift)


def _pass(passes: Throughput, latency: LatencyReport | None) -> dict[str, Any]:
    document: dict[str, Any] = to_builtins(passes)
    if latency is not None:
        document |= {
            "median_ms": latency.percentiles_ms[50],
            "interval_95_ms": latency.intervals_ms.get(50),
        }
    return document


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
