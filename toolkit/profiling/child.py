"""What runs in the fresh process of a profile: `python -m toolkit.profiling.child`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.profiling.memory import peak_rss_mb
from toolkit.profiling.statistics import Clock, time_calls
from toolkit.runtime.fresh import answer, describe
from toolkit.tensors import Array, Feeds


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child shall measure.

    Attributes:
        model: The `.onnx` file.
        options: Fields of `SessionOptions`.
        config: The variant's session configuration.
        reference: An .npz of real inputs; empty for random ones.
        sizes: Sizes of symbolic dimensions.
        seed: Seed of random feeds.
        warmup: Runs made and discarded, the first one not among them.
        runs: Timed runs; 0 measures session creation and the first run alone.
    """

    model: str
    options: dict[str, Any]
    config: dict[str, str]
    reference: str
    sizes: dict[str, int]
    seed: int
    warmup: int
    runs: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child measured.

    Attributes:
        provider: The execution provider that the session runs on.
        placement: Graph nodes by ONNX Runtime's provider name.
        creation_ms: Session creation.
        first_run_ms: The first run; None when it failed.
        times_ns: The timed runs.
        shapes: Shape by input.
        reference_used: Whether the inputs were the reference's.
        samples_per_run: Data items in one run.
        peak_rss_mb: Peak memory of the process in 10^6 bytes; None where it cannot be read.
        failure: The error that ended the runs, as data; None when all were made.
    """

    provider: str
    placement: dict[str, int]
    creation_ms: float
    first_run_ms: float | None
    times_ns: list[int]
    shapes: dict[str, list[int]]
    reference_used: bool
    samples_per_run: int
    peak_rss_mb: float | None
    failure: dict[str, str] | None


def measure(document: dict[str, Any]) -> dict[str, Any]:
    """Measure one session; see `Request` and `Answer`.

    Raises:
        InputError: The model cannot be loaded, or its inputs cannot be guessed.
        SetupError: The provider cannot run here.
    """
    from toolkit.profiling.feeds import profile_feeds, samples_per_run
    from toolkit.runtime import SessionOptions, open_session
    from toolkit.runtime.providers import Provider

    request = msgspec.convert(document, Request)
    provider = Provider(request.options["provider"])
    options = SessionOptions(**{**request.options, "provider": provider})
    session = open_session(Path(request.model), options, config=request.config)
    reference = _reference(request.reference)
    feeds = profile_feeds(
        session.inputs, reference=reference, sizes=request.sizes, seed=request.seed
    )
    first_ns, times_ns, failure = time_runs(
        lambda: session.run(feeds), warmup=request.warmup, runs=request.runs
    )
    measured = Answer(
        provider=session.provider,
        placement=session.placement,
        creation_ms=session.creation_ms,
        first_run_ms=None if first_ns is None else first_ns / 1e6,
        times_ns=times_ns,
        shapes={name: [*array.shape] for name, array in feeds.items()},
        reference_used=reference is not None and set(reference) == set(feeds),
        samples_per_run=samples_per_run(feeds),
        peak_rss_mb=peak_rss_mb(),
        failure=None if failure is None else describe(failure),
    )
    result: dict[str, Any] = msgspec.to_builtins(measured)
    return result


def time_runs(
    call: Callable[[], object], *, warmup: int, runs: int, clock_ns: Clock | None = None
) -> tuple[int | None, list[int], InputError | None]:
    """The first run, then the timed ones, as far as the model runs.

    Returns:
        The first run in nanoseconds (None when it failed), the timed runs, and what ended them.
    """
    first: list[int] = []
    times_ns: list[int] = []
    clock = {} if clock_ns is None else {"clock_ns": clock_ns}
    try:
        time_calls(call, first, warmup=0, runs=1, **clock)
        if runs:
            time_calls(call, times_ns, warmup=warmup, runs=runs, **clock)
    except InputError as error:
        return (first[0] if first else None), times_ns, error
    return first[0], times_ns, None


def _reference(file: str) -> Feeds | None:
    if not file:
        return None
    with np.load(file, allow_pickle=False) as arrays:
        loaded: dict[str, Array] = {name: arrays[name] for name in arrays.files}
    return loaded


if __name__ == "__main__":
    answer(measure)
