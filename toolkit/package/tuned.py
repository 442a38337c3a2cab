"""Session options that were tuned on one machine, and the machines that they hold for.

They stand among the variant's `session_options`, where any application that opens the package
through ONNX Runtime finds them; `details.tuned` says which they are and where they were measured.
The toolkit leaves them out on a machine of another class.
"""

from collections.abc import Mapping
from typing import Any

TUNED = "tuned"
"""The key in a variant's `details`."""


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
