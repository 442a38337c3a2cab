"""What was tuned on one machine, and the machines that it holds for.

Session options stand among the variant's `session_options`, where any application that opens the
package through ONNX Runtime finds them; `details.tuned` says which they are and where they were
measured. The toolkit leaves them out on a machine of another class. How a pile of samples is split
is no session option: `details.tuned` alone holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TUNED = "tuned"
"""The key in a variant's `details`."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a pile of samples is split.

    Attributes:
        batch: Samples a run.
        sessions: Sessions that run beside each other; one is that which answers single samples.
        threads: Intra-op threads of each.
    """

    batch: int
    sessions: int
    threads: int

    @property
    def document(self) -> dict[str, int]:
        """As a contender is told."""
        return {"batch": self.batch, "sessions": self.sessions, "session_threads": self.threads}

    @property
    def settings(self) -> Mapping[str, str]:
        """As a report says it."""
        return {key: str(value) for key, value in self.document.items()}


def machine_class() -> dict[str, Any]:
    """What a machine must share with another for a tuned setting to hold: no version, no name."""
    from toolkit.machine import this_machine

    machine = this_machine()
    return {
        "cpu": machine.cpu,
        "cpu_features": list(machine.cpu_features),
        "cores": machine.cores,
        "cpu_quota": machine.cpu_quota,
        "os": f"{machine.os.split()[0]} {machine.os.split()[-1]}",  # without the release
    }


def options_here(asked: Mapping[str, str], details: Mapping[str, Any]) -> dict[str, str]:
    """Session options that a variant asks for on this machine.

    Args:
        asked: Its `session_options`.
        details: What its steps recorded.
    """
    tuned = details.get(TUNED)
    if not tuned or tuned["machine"] == machine_class():
        return dict(asked)
    return untuned(asked, details)


def untuned(asked: Mapping[str, str], details: Mapping[str, Any]) -> dict[str, str]:
    """The session options as they were before any was tuned."""
    tuned = details.get(TUNED)
    if not tuned:
        return dict(asked)
    kept = {key: value for key, value in asked.items() if key not in tuned["session_options"]}
    return {**kept, **tuned["replaced"]}


def split_here(details: Mapping[str, Any], provider: str) -> Split | None:
    """The split that tuning found for this class of machine and this provider, if any.

    Args:
        details: What a variant's steps recorded.
        provider: The execution provider.
    """
    tuned = details.get(TUNED) or {}
    if tuned.get("batch") is None or tuned.get("provider") != provider:
        return None
    if tuned["machine"] != machine_class():
        return None
    return Split(batch=tuned["batch"], sessions=tuned["sessions"], threads=tuned["session_threads"])
