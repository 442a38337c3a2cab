"""The targets by name; each is the `TARGET` of the module of its name."""

from importlib import import_module

from toolkit.bundle.job import Target
from toolkit.errors import InputError

NAMES = ("python", "web", "node", "c", "android", "ios", "triton", "kserve", "docker")


def target_named(name: str) -> Target:
    """The target of a name.

    Raises:
        InputError: There is none.
    """
    if name not in NAMES:
        raise InputError(f"there is no target {name!r}", expected=f"one of {', '.join(NAMES)}")
    found: Target = import_module(f"toolkit.bundle.targets.{name}").TARGET
    return found
