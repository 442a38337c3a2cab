"""Opening and running ONNX Runtime sessions. Nothing else in the toolkit constructs one."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.limits import default_threads, is_limited
from toolkit.runtime.entries import (
    LEVEL_KEY,
    LEVEL_NAMES,
    THREADS_KEY,
    graph_level,
    set_field,
    threads_of,
)
from toolkit.runtime.providers import Provider
from toolkit.tensors import Array, Feeds, TensorSpec

try:
    import onnxruntime as ort
except ImportError as error:
    raise SetupError(
        f"onnxruntime cannot be imported: {error}",
        expected="onnxruntime or onnxruntime-gpu, one of the two",
        fix="pip install onnx-edge-toolkit[cpu]   (or [gpu])",
    ) from error

ort.set_default_logger_severity(4)  # its log lines say what our errors say, to the terminal

GraphLevel = Literal["none", "basic", "extended", "all"]

_DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's element types that numpy calls by another name."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How a session is opened.

    Attributes:
        provider: The execution provider that must run at least one node.
        provider_options: Its options, as ONNX Runtime spells them.
        allow_fallback: Take the CPU, with a warning, where the provider cannot run.
        threads: Intra-op threads; 0 is one a physical core, but no more than affinity and the
            container's quota allow, which ONNX Runtime by itself looks at neither of.
        spinning: Let idle threads spin. Off where several sessions share a machine.
        graph_level: The graph optimization level.
    """

    provider: Provider = Provider.CPU
    provider_options: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: bool = False
    threads: int = 0
    spinning: bool = True
    graph_level: GraphLevel = "all"


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
        placement: Graph nodes by ONNX Runtime's provider name: where it really runs.
        creation_ms: How long opening took.
    """

    def __init__(self, raw: Any, provider: Provider, creation_ms: float, name: str) -> None:
        self._raw = raw
        # onnxruntime's own `run` (1.31) checks names in Python and, with fallback on, tries again
        # on the CPU: feeds are checked before, and nothing falls back here. It costs 2 us a run.
        self._run = raw._sess.run  # noqa: SLF001
        self._name = name
        self.inputs = tuple(_spec(node) for node in raw.get_inputs())
        self.outputs = tuple(_spec(node) for node in raw.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        self.provider = provider
        self.placement = _placement(raw)
        self.creation_ms = creation_ms

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Outputs by name.

        Raises:
            InputError: ONNX Runtime refused the feeds, or failed while running.
        """
        # A context manager around every run would cost a tenth of a small model's run.
        try:
            values = self._run(self._output_names, feeds, None)
        except Exception:
            with _ort_failures(f"running {self._name}"):
                raise
        return dict(zip(self._output_names, values, strict=True))

    def recorded(self) -> tuple[Path, int]:
        """End the recording that `open_session` was asked for.

        Returns:
            Its file, a JSON list of trace events in microseconds, and when it began by the clock
            of `time.time_ns`.
        """
        began_ns = int(self._raw.get_profiling_start_time_ns())
        return Path(self._raw.end_profiling()), began_ns


def open_session(
    model: Path,
    options: SessionOptions,
    *,
    config: Mapping[str, str] | None = None,
    recording: Path | None = None,
    graph: Path | None = None,
) -> Session:
    """A session on the provider that was asked for.

    Args:
        model: The `.onnx` file.
        options: Provider, threads and the like.
        config: Session configuration entries that the package's variant carries.
        recording: Record every node into files whose names begin so; see `Session.recorded`. Runs
            become slower: never for latency.
        graph: Where to write the optimized graph, with its weights in a file beside it.

    Raises:
        SetupError: The provider is not built in, does not start, or runs no node, and
            `allow_fallback` is not given.
        InputError: The model cannot be loaded.
    """
    provider = _checked_provider(options)
    settings = _settings(options, config or {})
    if recording is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(recording)
    if graph is not None:
        settings.optimized_model_filepath = str(graph)
        for key, value in _WEIGHTS_BESIDE.items():
            settings.add_session_config_entry(key, value.format(name=graph.name))
    chosen: list[Any] = [(provider.ort_name, dict(options.provider_options))]
    if provider is not Provider.CPU:
        chosen.append(Provider.CPU.ort_name)
    if not model.is_file():
        raise InputError(f"the model {model} does not exist", expected="an .onnx file")
    start = time.perf_counter_ns()
    try:
        raw = _raw_session(model, settings, chosen)
    except InputError as error:
        if provider is Provider.CPU:
            raise
        start = time.perf_counter_ns()
        raw = _raw_session(model, settings, [Provider.CPU.ort_name])  # or the model is to blame
        _fall_back(options, f"{provider.ort_name} does not start: {error.problem}")
        provider = Provider.CPU
    creation_ms = (time.perf_counter_ns() - start) / 1e6
    session = Session(raw, provider, creation_ms, str(model))
    # A graph that folds to constants has no nodes left; only the CPU can be said to run it.
    if session.placement.get(provider.ort_name, 0) or provider is Provider.CPU:
        return session
    _fall_back(
        options,
        f"{provider.ort_name} runs no node of {model}; ONNX Runtime placed "
        + (", ".join(f"{n} on {name}" for name, n in session.placement.items()) or "none at all"),
    )
    session.provider = Provider.CPU
    return session


def _raw_session(model: Path, settings: Any, providers: Sequence[Any]) -> Any:
    with _ort_failures(f"loading {model}"):
        return ort.InferenceSession(model, settings, providers=providers, enable_fallback=0)


def built_in_providers() -> list[str]:
    """ONNX Runtime's names of the providers that the installed wheel has."""
    return [str(name) for name in ort.get_available_providers()]


def _checked_provider(options: SessionOptions) -> Provider:
    wanted = options.provider
    if wanted is Provider.CPU and options.provider_options:
        raise InputError(
            f"the CPU takes no provider option {next(iter(options.provider_options))!r}",
            expected="--provider-option beside a --provider that has options",
        )
    if wanted.ort_name in built_in_providers():
        return wanted
    _fall_back(options, f"this onnxruntime build has no {wanted.ort_name}")
    return Provider.CPU


def _fall_back(options: SessionOptions, problem: str) -> None:
    if not options.allow_fallback:
        raise SetupError(
            problem,
            expected=f"one of {', '.join(built_in_providers())}; {options.provider} comes with "
            f"{options.provider.origin}",
            fix="toolkit doctor   (says what starts here), or --allow-fallback to take the CPU",
        )
    warnings.warn(f"{problem}: running on the CPU", ToolkitWarning, stacklevel=3)


def _threads(asked: int) -> int:
    # 0 also lets ONNX Runtime bind its threads to cores, so it stays 0 where nothing limits us.
    return default_threads() if asked == 0 and is_limited() else asked


def _settings(options: SessionOptions, extra: Mapping[str, str]) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = graph_level(LEVEL_NAMES[options.graph_level])
    config = {"session.record_ep_graph_assignment_info": "1", **extra}
    if not options.spinning:
        config["session.intra_op.allow_spinning"] = "0"
    # What is asked for here, other than the default, goes before what a package asks for.
    if options.threads or THREADS_KEY not in config:
        config[THREADS_KEY] = str(options.threads)
    if options.graph_level != "all":
        config.pop(LEVEL_KEY, None)
    settings.intra_op_num_threads = _threads(threads_of(config.pop(THREADS_KEY)))
    for key, value in config.items():
        if not set_field(settings, key, value):
            settings.add_session_config_entry(key, value)
    return settings


def _placement(raw: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for graph in raw.get_provider_graph_assignment_info():
        counts[graph.ep_name] = counts.get(graph.ep_name, 0) + len(graph.get_nodes())
    return counts


def _spec(node: Any) -> TensorSpec:
    element = node.type.removeprefix("tensor(").removesuffix(")")
    shape: Sequence[int | str | None] = node.shape or ()
    return TensorSpec(
        name=node.name,
        dtype=_DTYPES.get(element, element),
        shape=tuple("?" if size is None else size for size in shape),
    )


@contextmanager
def _ort_failures(doing: str) -> Iterator[None]:
    """Give ONNX Runtime's errors, which share no base class, our one type."""
    try:
        yield
    except Exception as error:
        theirs = type(error).__module__.startswith("onnxruntime")
        if not (theirs or isinstance(error, (RuntimeError, ValueError))):
            raise
        raise InputError(f"ONNX Runtime failed while {doing}: {error}") from error
