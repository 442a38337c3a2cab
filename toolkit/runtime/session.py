"""Opening and running ONNX Runtime sessions. Nothing else in the toolkit constructs one."""

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from toolkit.errors import InputError, SetupError, ToolkitError, ToolkitWarning
from toolkit.runtime import cuda
from toolkit.runtime.bound import BoundRun
from toolkit.runtime.chatter import stdout_kept
from toolkit.runtime.dimensions import check_names, check_sizes, how_to_fix, needs_sizes
from toolkit.runtime.failures import (
    CompiledModelError,
    NoProviderError,
    UnknownChipError,
    ort_failures,
)
from toolkit.runtime.options import (
    RECORD_KEY,
    GraphLevel,
    SessionOptions,
    ort_settings,
    provider_named,
)
from toolkit.runtime.placement import Placement, check_required, check_share, placement_of
from toolkit.runtime.provider_options import checked_options, given_options
from toolkit.runtime.providers import Provider, provider_of
from toolkit.tensors import Array, Feeds, TensorSpec

try:
    import onnxruntime as ort
except ImportError as error:
    raise SetupError(
        f"onnxruntime cannot be imported: {error}",
        expected="onnxruntime or onnxruntime-gpu, one of the two",
        fix="pip install onnx-edge-toolkit[cpu]   (or [gpu])",
    ) from error

# After the import above, which says what is missing where onnxruntime is.
from toolkit.runtime.compiled import check_compiled, compatibility_of
from toolkit.runtime.explained import OR_FALL_BACK, nothing_runs, why_nothing
from toolkit.runtime.plugins import devices, has_devices, is_installed

ort.set_default_logger_severity(4)  # its log lines say what our errors say, to the terminal

__all__ = ["GraphLevel", "Session", "SessionOptions", "built_in_providers", "open_session"]

_TALKATIVE = frozenset(Provider) - {Provider.CPU}
"""Providers whose libraries may print on stdout when they start."""

_DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's element types that numpy calls by another name."""

_WEIGHTS_BESIDE = {
    "session.optimized_model_external_initializers_file_name": "{name}.data",
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
}
"""Keeps the file of the graph small: its readers want names and shapes."""


class Session:
    """A loaded model, as every step sees it. It can be used from several threads.

    Attributes:
        inputs: The graph inputs, without initializers that old files list among them.
        outputs: The graph outputs.
        provider: The execution provider that it runs on.
        placed: Graph nodes by provider and operator type: where it really runs.
        creation_ms: How long opening took.
        compatibility: Of compiled graphs, what their provider says of the chip and the SDK that
            they were compiled for; empty for others.
    """

    def __init__(
        self,
        raw: Any,
        provider: Provider,
        creation_ms: float,
        name: str,
        *,
        captured: bool = False,
        device_id: int = 0,
    ) -> None:
        # captured: Runs are one recorded sequence of kernels, replayed on the same memory.
        # device_id: The device of the provider, among several, that it computes on.
        self._raw = raw
        # onnxruntime's own `run` (1.31) checks names in Python and, with fallback on, tries again
        # on the CPU: feeds are checked before, and nothing falls back here. It costs 2 us a run.
        self._run = self._replayed if captured else raw._sess.run  # noqa: SLF001
        self._replaying = Lock()
        self._bound: BoundRun | None = None
        self._name = name
        self._device_id = device_id
        self.inputs = tuple(_spec(node) for node in raw.get_inputs())
        self.outputs = tuple(_spec(node) for node in raw.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        self.provider = provider
        self.placed: Placement = placement_of(raw)
        self.creation_ms = creation_ms
        self.compatibility = compatibility_of(raw, provider)

    @property
    def placement(self) -> dict[str, int]:
        """Graph nodes by ONNX Runtime's provider name."""
        return self.placed.nodes

    @property
    def elsewhere(self) -> dict[str, int]:
        """Nodes by operator type that another provider than `provider` runs, the most first."""
        return self.placed.elsewhere(self.provider)

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Outputs by name.

        Raises:
            InputError: ONNX Runtime refused the feeds, or failed while running on the CPU.
            SetupError: Another execution provider failed while running.
        """
        # A context manager around every run would cost a tenth of a small model's run.
        try:
            values = self._run(self._output_names, feeds, None)
        except Exception:
            with ort_failures(f"running {self._name}", self.provider):
                raise
        return dict(zip(self._output_names, values, strict=True))

    def bind(self, feeds: Feeds) -> BoundRun:
        """Runs of one shape whose tensors stay on the provider's device.

        Args:
            feeds: The first values, which fix the shapes.

        Raises:
            InputError: ONNX Runtime refused the feeds.
            SetupError: The execution provider failed.
        """
        # A session that fell back to the CPU has left the device.
        device_id = 0 if self.provider is Provider.CPU else self._device_id
        return BoundRun(self._raw, self.provider, feeds, device_id=device_id, name=self._name)

    def recorded(self) -> tuple[Path, int]:
        """End the recording that `open_session` was asked for.

        Returns:
            Its file, a JSON list of trace events in microseconds, and when it began by the clock
            of `time.time_ns`.
        """
        began_ns = int(self._raw.get_profiling_start_time_ns())
        return Path(self._raw.end_profiling()), began_ns

    def _replayed(self, names: Sequence[str], feeds: Feeds, _: None) -> list[Array]:
        with self._replaying:
            if self._bound is None:
                self._bound = self.bind(feeds)
            else:
                self._bound.feed(feeds)
            self._bound.run()
            outputs = self._bound.outputs()
        return [outputs[name] for name in names]


def open_session(
    model: Path,
    options: SessionOptions,
    *,
    config: Mapping[str, str] | None = None,
    recording: Path | None = None,
    graph: Path | None = None,
    explain: bool = True,
) -> Session:
    """A session on the provider that was asked for.

    Args:
        model: The `.onnx` file.
        options: Provider, threads and the like.
        config: Session configuration entries that the package's variant carries.
        recording: Record every node into files whose names begin so; see `Session.recorded`. Runs
            become slower: never for latency.
        graph: Where to write the optimized graph, with its weights in a file beside it.
        explain: Ask a fresh process for the reason where the provider runs no node.

    Raises:
        SetupError: The provider is not built in, does not start, has no device, needs fixed shapes,
            or runs no node, and `allow_fallback` is not given.
        CheckFailedError: It runs less of the graph than `require` asks for.
        InputError: The model cannot be loaded, holds graphs that were compiled for something else,
            or has no such dimension; there is no such provider, or option of it.
    """
    options = replace(options, provider=provider_named(options.provider))
    asked = options.provider
    given = checked_options(asked, options.provider_options)
    check_required(options.require, asked)
    check_sizes(options.fix_shapes)
    if not model.is_file():
        raise InputError(f"the model {model} does not exist", expected="an .onnx file")
    config = config or {}
    if options.fix_shapes:
        check_names(options.fix_shapes, _unfixed(model, asked, given), str(model))
    if asked.needs_fixed_shapes:
        _check_not_empty(model, asked)
    opening = _Opening(model, options, config, recording, graph)
    provider = asked
    try:
        chosen, creation_ms = opening.on(provider, given)
    except CompiledModelError:
        raise
    except ToolkitError as error:
        is_lacking = isinstance(error, NoProviderError)  # whatever the CPU would say
        if provider is Provider.CPU or (is_lacking and not options.allow_fallback):
            raise
        try:
            chosen, creation_ms = opening.on(Provider.CPU, {})  # or the model is to blame
        except CompiledModelError:  # which it is not: no other provider takes what it holds
            raise error from None
        _fall_back(options, error)
        provider = Provider.CPU
    captured = cuda.is_captured(provider, given)
    session = Session(
        chosen,
        provider,
        creation_ms,
        str(model),
        captured=captured,
        device_id=cuda.device_among(provider, given),
    )
    if provider is not Provider.CPU:
        asked_for = given_options(provider, options.provider_options)
        check_compiled(session.compatibility, provider, asked_for, str(model))
        cuda.check_capturable(provider, given, session.inputs)
        _check_placed(session, options, model, config, explain=explain)
    check_share(session.placed, options.require, asked, str(model))
    return session


class _Opening:
    """What the sessions that one call may open have in common."""

    def __init__(
        self,
        model: Path,
        options: SessionOptions,
        config: Mapping[str, str],
        recording: Path | None,
        graph: Path | None,
    ) -> None:
        self._model, self._options, self._config = model, options, config
        self._recording, self._graph = recording, graph

    def on(self, provider: Provider, given: Mapping[str, str]) -> tuple[Any, float]:
        """The session of ONNX Runtime, and the milliseconds that its creation took."""
        # Without the record nothing says where nodes run, whatever a package asks for.
        settings = ort_settings(self._options, {**self._config, RECORD_KEY: "1"})
        if self._recording is not None:
            settings.enable_profiling = True
            settings.profile_file_prefix = str(self._recording)
        if self._graph is not None:
            settings.optimized_model_filepath = str(self._graph)
            for key, value in _WEIGHTS_BESIDE.items():
                settings.add_session_config_entry(key, value.format(name=self._graph.name))
        start = time.perf_counter_ns()
        quiet = stdout_kept() if provider in _TALKATIVE else nullcontext()
        with quiet, ort_failures(f"loading {self._model}", provider):
            chosen = _attached(settings, provider, given)
            raw = ort.InferenceSession(self._model, settings, providers=chosen, enable_fallback=0)
        return raw, (time.perf_counter_ns() - start) / 1e6


def _attached(settings: Any, provider: Provider, given: Mapping[str, str]) -> list[Any] | None:
    """What `InferenceSession` takes as providers; None where the settings name devices instead.

    Raises:
        NoProviderError: The provider is neither built in nor installed, or has no device.
        SetupError: It has no device of the kind that is asked for.
    """
    if provider is Provider.CPU:
        return [provider.ort_name]
    if provider in cuda.NVIDIA:
        cuda.preload()
    # A registered plugin is listed as available too, and ignored when it is asked for by name.
    if not (is_installed(provider) or has_devices(provider)):
        if provider.ort_name in ort.get_available_providers():
            return [(provider.ort_name, dict(given)), Provider.CPU.ort_name]
        raise NoProviderError(
            f"this onnxruntime build has no {provider.ort_name}",
            expected=f"one of {', '.join(_words())}; {provider} comes with {provider.origin}",
            fix="toolkit doctor   (says what starts here), or --allow-fallback to take the CPU",
        )
    rest = dict(given)
    settings.add_provider_for_devices(devices(provider, rest), rest)
    return None


def built_in_providers() -> list[str]:
    """ONNX Runtime's names of what the installed wheels have, those of plugins included."""
    names = [str(name) for name in ort.get_available_providers()]
    plugins = (one.ort_name for one in Provider if is_installed(one))
    return names + [name for name in plugins if name not in names]


def _words() -> list[str]:
    """What `--provider` takes of `built_in_providers`."""
    known = (provider_of(name) for name in built_in_providers())
    return [str(one) for one in known if one is not None]


def _unfixed(model: Path, provider: Provider, given: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    """The graph's inputs as the file says them, before a dimension is fixed."""
    opening = _Opening(model, SessionOptions(graph_level="none", threads=1), {}, None, None)
    try:
        raw, _ = opening.on(Provider.CPU, {})
    except InputError:  # a graph with nodes that the CPU does not know
        if provider is Provider.CPU:
            raise
        raw, _ = opening.on(provider, given)
    return tuple(_spec(node) for node in raw.get_inputs())


def _check_not_empty(model: Path, provider: Provider) -> None:
    """Refuse an input without elements, over which QNN (2.7.0) takes the whole process down."""
    try:
        inputs = _unfixed(model, Provider.CPU, {})
    except InputError:  # compiled graphs; QNN would not have compiled such an input
        return
    for spec in inputs:
        if 0 in spec.shape:
            raise InputError(
                f"input {spec.name!r} of {model} is {spec}, which has no elements",
                expected=f"sizes of 1 or more on {provider}",
                fix="export the model with other sizes, or --provider cpu",
            )


def _check_placed(
    session: Session,
    options: SessionOptions,
    model: Path,
    config: Mapping[str, str],
    *,
    explain: bool,
) -> None:
    """Refuse a session that runs nothing on its provider, or has shapes that it cannot take."""
    provider = session.provider
    placed = session.placement.get(provider.ort_name, 0)
    unfit = needs_sizes(session.inputs, str(provider)) if provider.needs_fixed_shapes else ""
    if placed and not unfit:
        return
    if unfit:
        fix = how_to_fix(session.inputs, options.fix_shapes)
        error: ToolkitError = SetupError(
            f"{unfit}: it would run {placed} of {sum(session.placement.values())} nodes",
            expected="one size a dimension",
            fix=f"{fix}{OR_FALL_BACK}",
        )
    else:
        reason = why_nothing(model, options, config) if explain else ""
        error = nothing_runs(str(model), options, session.placement, reason)
    if placed:
        _fall_back(options, error, "running the others on the CPU")
    else:  # a graph that folds to constants has no nodes left either
        _fall_back(options, error)
        session.provider = Provider.CPU


def _fall_back(
    options: SessionOptions, error: ToolkitError, instead: str = "running on the CPU"
) -> None:
    if not options.allow_fallback:
        if isinstance(error, (SetupError, UnknownChipError)):
            raise error
        problem = f"{options.provider.ort_name} does not start: {error.problem}"
        raise SetupError(problem, expected=error.expected, fix=error.fix) from error
    warnings.warn(f"{error.problem}: {instead}", ToolkitWarning, stacklevel=4)


def _spec(node: Any) -> TensorSpec:
    element = node.type.removeprefix("tensor(").removesuffix(")")
    shape: Sequence[int | str | None] = node.shape or ()
    return TensorSpec(
        name=node.name,
        dtype=_DTYPES.get(element, element),
        shape=tuple("?" if size is None else size for size in shape),
    )
