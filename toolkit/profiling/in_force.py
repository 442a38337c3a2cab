"""The session options that a session ran with, whoever asked for them."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from toolkit.limits import default_threads
from toolkit.runtime.entries import (
    ARENA_KEY,
    LEVEL_KEY,
    LEVEL_NAMES,
    PATTERN_KEY,
    SPINNING_KEY,
    THREADS_KEY,
    entries_text,
    threads_of,
)

if TYPE_CHECKING:
    from toolkit.runtime import SessionOptions

_OFF = {"0", "false"}


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What a session really ran with.

    Attributes:
        threads: Intra-op threads.
        spinning: Whether idle threads spin.
        graph_level: The graph optimization level.
        arena: Whether memory comes from ONNX Runtime's arena.
        memory_pattern: Whether memory is planned ahead from earlier runs.
        sessions: How many such sessions there were beside each other.
        of_package: Those of the package's session options, or of those that a contender was given,
            that were not overridden, as written.
        tuned: The names of those among them that `--tune` found on this class of machine.
    """

    threads: int
    spinning: bool = True
    graph_level: str = "all"
    arena: bool = True
    memory_pattern: bool = True
    sessions: int = 1
    of_package: dict[str, str] = {}
    tuned: list[str] = []

    def as_line(self) -> str:
        """What a reader wants to know at once: threads, and everything that is not the default."""
        count = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        if self.sessions > 1:
            count = f"{self.sessions} sessions of {count}"
        switched = {"spinning": self.spinning, "arena": self.arena}
        switched["memory pattern"] = self.memory_pattern
        told = [count, *(f"{name} off" for name, is_on in switched.items() if not is_on)]
        if self.graph_level != "all":
            told.append(f"graph level {self.graph_level}")
        line = ", ".join(told)
        if not self.of_package:
            return line
        how = ", tuned for this class of machine" if self.tuned else ""
        return f"{line}; session options{how}: {entries_text(self.of_package)}"

    def as_json(self) -> dict[str, Any]:
        """The part `session` of the document of `--json`."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    def notes(self, cores: int) -> tuple[str, ...]:
        """What a reader must know of it on so many cores."""
        wanted = self.sessions * self.threads
        if wanted <= cores:
            return ()
        return (f"{wanted} threads of sessions share {cores} cores: they wait for each other",)


def in_force(
    options: "SessionOptions",
    config: Mapping[str, str],
    *,
    sessions: int = 1,
    tuned: Collection[str] = (),
) -> InForce:
    """What `open_session` makes of the same arguments.

    Args:
        options: Provider, threads and the like.
        config: The variant's session configuration.
        sessions: How many are opened so.
        tuned: The names of the entries that were tuned.
    """
    kept = dict(config)
    if options.threads:
        kept.pop(THREADS_KEY, None)
    if options.graph_level != "all":
        kept.pop(LEVEL_KEY, None)
    if not options.spinning:
        kept.pop(SPINNING_KEY, None)
    words = {theirs: ours for ours, theirs in LEVEL_NAMES.items()}
    level = kept.get(LEVEL_KEY, "")
    return InForce(
        threads=options.threads or threads_of(kept.get(THREADS_KEY, "0")) or default_threads(),
        spinning=options.spinning and kept.get(SPINNING_KEY) not in _OFF,
        graph_level=words.get(level, level) or options.graph_level,
        arena=kept.get(ARENA_KEY) not in _OFF,
        memory_pattern=kept.get(PATTERN_KEY) not in _OFF,
        sessions=sessions,
        of_package=kept,
        tuned=[key for key in kept if key in tuned],
    )
