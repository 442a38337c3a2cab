"""The scenarios on opened sessions; what was measured before a failure is kept."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from toolkit.errors import CheckFailedError, InputError, StoppedError, ToolkitError
from toolkit.profiling.arrivals import Served, Wait, poisson, serve, wait_until
from toolkit.profiling.conditions import Watch
from toolkit.profiling.loop import Ending, Recording, Run, WarmUp, check_budget, record, warm_up
from toolkit.profiling.queries import Queries
from toolkit.profiling.rate import Search, TooShortError, Trial, confirmed, find_rate
from toolkit.profiling.scenarios import BOUNDED, Effort, MultiStream, Offline, Scenario, Server
from toolkit.profiling.statistics import Clock, summarize
from toolkit.profiling.stopping import Stop
from toolkit.profiling.throughput import (
    Batch,
    Throughput,
    item_batches,
    measure_passes,
    text_batches,
    token_counts,
)
from toolkit.tasks import Task
from toolkit.tensors import Array, Feeds

Found = tuple[dict[str, Any], ToolkitError | None]
"""Fields of the child's answer, and what ended the runs early."""

ENDED = (InputError, StoppedError)
"""What ends runs and leaves those that were made: a failure, or the user."""

SERVICE_RUNS = 400
SERVER_S = 10.0
SEARCH_S = 120.0
SYNTHETIC_BATCHES = 64


def first_run(
    run: Run, feeds: Feeds, *, clock_ns: Clock = time.perf_counter_ns
) -> tuple[int | None, ToolkitError | None]:
    """Nanoseconds of the first run, or None and what it failed with."""
    start = clock_ns()
    try:
        run(feeds)
    except InputError as error:
        return None, error
    return clock_ns() - start, None


@dataclass(kw_only=True)
class Measuring:
    """Sessions and what they are fed.

    Attributes:
        runs: One a session.
        queries: Prepared feeds, or a data set.
        task: Encodes and decodes; None where tensors go in.
        effort: How much is measured.
        seed: Seed of arrivals.
        threads: Intra-op threads of a session, for the report.
        is_batchable: Whether the streams of a query are one batch.
        clock_ns: A monotonic clock in nanoseconds.
        wait: Returns when that clock shows a time.
        watch: Looks at the machine before, between and after the timed runs.
        stop: Whether the user wants it to end.
    """

    runs: Sequence[Run]
    queries: Queries
    task: Task | None
    effort: Effort
    seed: int = 0
    threads: int = 0
    is_batchable: bool = True
    clock_ns: Clock = time.perf_counter_ns
    wait: Wait = wait_until
    watch: Watch = field(default_factory=Watch)
    stop: Stop = field(default_factory=Stop)

    def measure(self, scenario: Scenario) -> Found:
        """What the scenario found."""
        match scenario:
            case Server():
                return self._server(scenario)
            case Offline():
                return self._offline(scenario)
            case MultiStream(streams=streams) if not self.is_batchable:
                with ThreadPoolExecutor(streams) as pool:
                    found, failure = self._streams(_at_once(pool, self.runs[0], streams))
                return {**found, "samples_per_run": streams * self.queries.samples}, failure
            case _:
                return self._streams(self.runs[0])

    def _streams(self, run: Run) -> Found:
        recording = Recording()
        feeds = self.queries.feeds
        warmup, failure = self._warm(run)
        if failure is not None:
            return {"warmup": warmup}, failure
        if warmup.runs and self.effort.runs is None:
            check_budget(self.effort, warmup.ms * 1e6 / warmup.runs)
        try:
            record(
                run,
                feeds,
                self.effort,
                recording,
                looking=self._look,
                clock_ns=self.clock_ns,
            )
        except ENDED as error:
            failure = error
        return self._found(
            warmup, recording.times_ns, recording.started_ns, recording.made
        ), failure

    def _look(self) -> None:
        self.watch.look()
        self.stop.check()

    def _warm(self, run: Run) -> tuple[WarmUp, ToolkitError | None]:
        """The warm-up, or what was made of it until a run failed."""
        made = 0

        def counted(feeds: Feeds) -> None:
            nonlocal made
            self.stop.check()
            run(feeds)
            made += 1

        began = self.clock_ns()
        try:
            feeds = self.queries.feeds
            return warm_up(counted, feeds, self.effort, clock_ns=self.clock_ns), None
        except ENDED as error:
            return WarmUp(runs=made, ms=(self.clock_ns() - began) / 1e6, ended="failed"), error

    def _server(self, server: Server) -> Found:
        warmups: list[WarmUp] = []
        for run in self.runs:
            warmup, failure = self._warm(run)
            warmups.append(warmup)
            if failure is not None:
                return {"warmup": _together(warmups)}, failure
        self.watch.look()
        if server.rate_per_s is None:
            trials: list[Trial] = []
            try:
                rate, served, remarks = self._found_rate(server, trials)
            except TooShortError:  # known before any trial
                raise
            except (*ENDED, CheckFailedError) as error:
                made = sum(trial.queries for trial in trials)
                told = {"warmup": _together(warmups), "trials": trials, "made": made}
                return {**told, "conditions": self.watch.seen()}, error
        else:
            rate, trials = server.rate_per_s, []
            served, remarks = self._at_rate(rate)
            remarks += _untold(served, server.latency_bound_ms)
        self.watch.look()
        times = served.latency_ns.tolist()
        found = self._found(_together(warmups), times, served.arrived_ns.tolist(), len(times))
        return {
            **found,
            "rate_per_s": rate,
            "served_per_s": served.rate_per_s if times else None,
            "busy_share": served.busy_share(len(self.runs)) if times else None,
            "trials": trials,
            "remarks": remarks,
        }, served.failure

    def _at_rate(self, rate: float) -> tuple[Served, list[str]]:
        span_s = self.effort.sustained_s or self.effort.budget_s or SERVER_S
        queries = self.effort.runs or max(1, int(rate * span_s))
        limit_s, began = 2 * self.effort.limit_s, self.clock_ns()
        served = self._serve(
            poisson(queries, seed=self.seed) / rate,
            lambda _: self.clock_ns() - began > limit_s * 1e9,
        )
        if served.failure is None and len(served.latency_ns) < queries:
            answered = f"{len(served.latency_ns)} of {queries} queries were answered"
            return served, [f"the queue was cut after {limit_s:g} s, twice its time: {answered}"]
        return served, []

    def _serve(self, arrivals_s: Array, give_up: Callable[[int], bool]) -> Served:
        served = serve(
            self.runs,
            self.queries.feeds,
            arrivals_s,
            give_up=lambda latency_ns: give_up(latency_ns) or self.stop.is_asked,
            clock_ns=self.clock_ns,
            wait=self.wait,
        )
        if served.failure is None and self.stop.is_asked:
            return replace(served, failure=self.stop.error())
        return served

    def _found_rate(self, server: Server, trials: list[Trial]) -> tuple[float, Served, list[str]]:
        assert server.latency_bound_ms is not None
        search = Search(
            bound_ms=server.latency_bound_ms,
            sessions=len(self.runs),
            seed=self.seed,
            budget_s=self.effort.budget_s or SEARCH_S,
        )
        alone = Recording()
        record(
            self.runs[0],
            self.queries.feeds,
            Effort(runs=SERVICE_RUNS, budget_s=search.budget_s / 4),
            alone,
            looking=self.stop.check,
            clock_ns=self.clock_ns,
        )
        rate, _ = find_rate(np.asarray(alone.times_ns), search, self._serve, trials)
        queries = self.effort.runs or max(trials[0].queries, int(rate * SERVER_S))
        rate, served, again = confirmed(rate, queries, search, self._serve)
        remarks = []
        if again and again[-1].passed and again[-1].p99_ms >= search.bound_ms:
            remarks.append(
                f"the p99 of these {queries} queries, {again[-1].p99_ms:.4g} ms, is not under the "
                f"bound: they came in more crowds than usual. Over a long time the same runs have "
                f"a p99 of {again[-1].long_p99_ms:.4g} ms at this rate"
            )
        trials += again
        return rate, served, remarks

    def _offline(self, offline: Offline) -> Found:
        items, task = self.queries.items, self.task
        feeds = self.queries.feeds[0]
        size = self.queries.samples
        includes: tuple[str, ...] = ()
        if task is None or not items:
            one = [(range(i * size, (i + 1) * size), feeds) for i in range(SYNTHETIC_BATCHES)]
            count = SYNTHETIC_BATCHES * size
            begin: Callable[[], Any] = lambda: iter(one)  # noqa: E731
        else:
            count = len(items)
            is_text = task.specification.text is not None
            # Windows of one item may run apart, and be read only when all of them are there.
            decoding = () if task.reads_items else ("decoding",)
            includes = ("tokenization" if is_text else "encoding", *decoding)
            known = task
            if is_text:
                begin = lambda: text_batches(known, items, offline.tokens)  # noqa: E731
            else:
                begin = lambda: item_batches(known, items, offline.batch)  # noqa: E731

        def taken(_: Sequence[int], outputs: object) -> None:
            self.stop.check()
            if task is not None and not task.reads_items:
                task.decode(cast("dict[str, Array]", outputs))

        throughput = self._plan([*begin()], count, includes)
        times: list[int] = []
        failure: ToolkitError | None = None
        warm_ns = 0
        try:
            warm_ns = measure_passes(
                self.runs,
                begin,
                taken,
                self.effort,
                times,
                looking=self._look,
                clock_ns=self.clock_ns,
            )
        except ENDED as error:
            failure = error
        passes = 1 if self.effort.warmup is None else self.effort.warmup
        ended: Ending = "one pass" if self.effort.warmup is None else "as asked"
        warmup = WarmUp(runs=passes if warm_ns else 0, ms=warm_ns / 1e6, ended=ended)
        started = [0, *np.cumsum(times).tolist()][: len(times)]
        found = self._found(warmup, times, started, len(times))
        return {**found, "throughput": throughput, "samples_per_run": count}, failure

    def _plan(self, batches: Sequence[Batch], count: int, includes: tuple[str, ...]) -> Throughput:
        tokens = padded = None
        if "tokenization" in includes and self.task is not None:
            tokens = sum(int(token_counts(self.task, feeds).sum()) for _, feeds in batches)
            padded = sum(next(iter(feeds.values())).size for _, feeds in batches)
        return Throughput(
            samples=count,
            batches=len(batches),
            sessions=len(self.runs),
            threads=self.threads,
            includes=includes,
            tokens=tokens,
            padded_tokens=padded,
        )

    def _found(
        self, warmup: WarmUp | None, times: list[int], started: list[int], made: int
    ) -> dict[str, Any]:
        return {
            "warmup": warmup,
            "times_ns": times,
            "started_ns": started,
            "made": made,
            "conditions": self.watch.seen(),
        }


def _together(warmups: Sequence[WarmUp]) -> WarmUp:
    """The warm-ups of all sessions, which came one after another; steady when all of them are."""
    endings = [warmup.ended for warmup in warmups]
    worst: Sequence[Ending] = ("failed", "time limit", "as asked", "steady")
    return WarmUp(
        runs=sum(warmup.runs for warmup in warmups),
        ms=sum(warmup.ms for warmup in warmups),
        ended=next(ending for ending in worst if ending in endings),
    )


def _untold(served: Served, bound_ms: float | None) -> list[str]:
    """What is to be said where the interval of p99 holds the bound."""
    if bound_ms is None or not len(served.latency_ns):
        return []
    times = served.latency_ns.tolist()
    low, high = summarize(times, percentiles=[BOUNDED]).intervals_ms.get(BOUNDED, (0.0, 0.0))
    if not low < bound_ms <= high:
        return []
    return [f"cannot tell whether p99 is under {bound_ms:g} ms: it is from {low:.4g} to {high:.4g}"]


def _at_once(pool: ThreadPoolExecutor, run: Run, streams: int) -> Run:
    """A run of several at once, from as many threads, that ends with the last of them."""

    def all_streams(feeds: Feeds) -> None:
        for future in [pool.submit(run, feeds) for _ in range(streams)]:
            future.result()

    return all_streams
