"""The scenarios on opened sessions; what was measured before a failure is kept."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from toolkit.errors import InputError
from toolkit.profiling.arrivals import Served, Wait, poisson, serve, wait_until
from toolkit.profiling.conditions import Watch
from toolkit.profiling.loop import Recording, Run, WarmUp, check_budget, record, warm_up
from toolkit.profiling.queries import Queries
from toolkit.profiling.rate import Search, find_rate
from toolkit.profiling.scenarios import Effort, MultiStream, Offline, Scenario, Server
from toolkit.profiling.statistics import Clock
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

Found = tuple[dict[str, Any], InputError | None]
"""Fields of the child's answer, and what ended the runs early."""

SERVICE_RUNS = 400
SERVER_S = 10.0
SEARCH_S = 120.0
SYNTHETIC_BATCHES = 64


def first_run(
    run: Run, feeds: Feeds, *, clock_ns: Clock = time.perf_counter_ns
) -> tuple[int | None, InputError | None]:
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
        if warmup.runs:
            check_budget(self.effort, warmup.ms * 1e6 / warmup.runs)
        try:
            record(
                run,
                feeds,
                self.effort,
                recording,
                looking=self.watch.look,
                clock_ns=self.clock_ns,
            )
        except InputError as error:
            failure = error
        return self._found(
            warmup, recording.times_ns, recording.started_ns, recording.made
        ), failure

    def _warm(self, run: Run) -> tuple[WarmUp, InputError | None]:
        """The warm-up, or what was made of it until a run failed."""
        made = 0

        def counted(feeds: Feeds) -> None:
            nonlocal made
            run(feeds)
            made += 1

        began = self.clock_ns()
        try:
            feeds = self.queries.feeds
            return warm_up(counted, feeds, self.effort, clock_ns=self.clock_ns), None
        except InputError as error:
            return WarmUp(runs=made, ms=(self.clock_ns() - began) / 1e6, ended="failed"), error

    def _server(self, server: Server) -> Found:
        warmup: WarmUp | None = None
        feeds = self.queries.feeds
        for run in self.runs:
            warmup, failure = self._warm(run)
            if failure is not None:
                return {"warmup": warmup}, failure
        trials: list[Any] = []
        rate = server.rate_per_s
        if rate is None:
            rate, trials = self._search(server)
        span_s = self.effort.sustained_s or self.effort.budget_s or SERVER_S
        queries = self.effort.runs or max(1, int(rate * (SERVER_S if trials else span_s)))
        limit_ns = math.inf if trials else 2e9 * self.effort.limit_s
        self.watch.look()
        began = self.clock_ns()
        served = serve(
            self.runs,
            feeds,
            poisson(queries, seed=self.seed) / rate,
            give_up=lambda _: self.clock_ns() - began > limit_ns,
            clock_ns=self.clock_ns,
            wait=self.wait,
        )
        self.watch.look()
        times = served.latency_ns.tolist()
        found = self._found(warmup, times, served.arrived_ns.tolist(), len(times))
        busy = served.busy_share(len(self.runs)) if times else None
        return {**found, "rate_per_s": rate, "busy_share": busy, "trials": trials}, served.failure

    def _search(self, server: Server) -> tuple[float, list[Any]]:
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
            clock_ns=self.clock_ns,
        )

        def serving(arrivals_s: Array, give_up: Callable[[int], bool]) -> Served:
            return serve(
                self.runs,
                self.queries.feeds,
                arrivals_s,
                give_up=give_up,
                clock_ns=self.clock_ns,
                wait=self.wait,
            )

        return find_rate(np.asarray(alone.times_ns), search, serving)

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
            if task is not None and not task.reads_items:
                task.decode(cast("dict[str, Array]", outputs))

        throughput = self._plan([*begin()], count, includes)
        times: list[int] = []
        failure: InputError | None = None
        warm_ns = 0
        try:
            warm_ns = measure_passes(
                self.runs,
                begin,
                taken,
                self.effort,
                times,
                looking=self.watch.look,
                clock_ns=self.clock_ns,
            )
        except InputError as error:
            failure = error
        passes = 1 if self.effort.warmup is None else self.effort.warmup
        warmup = WarmUp(runs=passes if warm_ns else 0, ms=warm_ns / 1e6, ended="as asked")
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


def _at_once(pool: ThreadPoolExecutor, run: Run, streams: int) -> Run:
    """A run of several at once, from as many threads, that ends with the last of them."""

    def all_streams(feeds: Feeds) -> None:
        for future in [pool.submit(run, feeds) for _ in range(streams)]:
            future.result()

    return all_streams
