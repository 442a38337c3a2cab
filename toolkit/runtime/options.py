"""How a session is opened, and what that is in ONNX Runtime's terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from toolkit.errors import InputError
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

GraphLevel = Literal["none", "basic", "extended", "all"]

RECORD_KEY = "session.record_ep_graph_assignment_info"
"""Makes ONNX Runtime (1.24 and later) say which node runs where."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How a session is opened.

    Attributes:
        provider: The execution provider that must run at least one node.
        provider_options: Its options, as ONNX Runtime spells them.
        allow_fallback: Take the CPU, with a warning, where the provider cannot run.
        require: The least share of the nodes, above 0 and at most 1, that the provider must run, by
            its word.
        fix_shapes: Sizes of symbolic dimensions by name, fixed before the graph is optimized.
        threads: Intra-op threads; 0 is one a physical core, but no more than affinity and the
            container's quota allow, which ONNX Runtime by itself looks at neither of.
        spinning: Let idle threads spin. Off where several sessions share a machine.
        graph_level: The graph optimization level.
    """

    provider: Provider = Provider.CPU
    provider_options: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: bool = False
    require: Mapping[str, float] = field(default_factory=dict)
    fix_shapes: Mapping[str, int] = field(default_factory=dict)
    threads: int = 0
    spinning: bool = True
    graph_level: GraphLevel = "all"


def provider_named(name: str) -> Provider:
    """The provider that `--provider` would take by this word.

    Raises:
        InputError: There is none; ONNX Runtime would take the CPU.
    """
    if name not in list(Provider):
        raise InputError(f"there is no provider {name!r}", expected=f"one of {', '.join(Provider)}")
    return Provider(name)


def ort_settings(options: SessionOptions, extra: Mapping[str, str]) -> Any:
    """An `onnxruntime.SessionOptions` for ours and for the entries that a package carries.

    Raises:
        InputError: A package's entry has a value that ONNX Runtime does not know.
    """
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.graph_optimization_level = graph_level(LEVEL_NAMES[options.graph_level])
    config = {RECORD_KEY: "1", **extra}
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
    for name, size in options.fix_shapes.items():
        settings.add_free_dimension_override_by_name(name, size)
    return settings


def _threads(asked: int) -> int:
    # 0 also lets ONNX Runtime bind its threads to cores, so it stays 0 where nothing limits us.
    return default_threads() if asked == 0 and is_limited() else asked
