"""Whether a target reads what the user asked of a bundle: an option that nothing reads is a lie."""

import platform

from toolkit.bundle.job import BundleOptions, Target
from toolkit.errors import InputError

ARCHITECTURES = ("x86_64", "arm64")
"""Processors that bundles are made for."""

_TYPED = {"architecture": "--arch", "runtime": "--runtime", "sysroot": "--sysroot"}


def this_machine() -> str:
    """This machine's processor, as `--arch` calls it where it has a word for it."""
    machine = platform.machine()
    return {"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine)


def check_options(options: BundleOptions, target: Target) -> None:
    """Refuse options that the target would ignore, and processors that nobody knows.

    Args:
        options: What the user asked for.
        target: What the bundle is for.

    Raises:
        InputError: It ignores one of them, here or at all, or the processor is unknown.
    """
    here = this_machine()
    if options.architecture not in {"", here, *ARCHITECTURES}:
        raise InputError(
            f"there is no architecture {options.architecture!r}",
            expected=f"one of {', '.join(ARCHITECTURES)}",
            fix=f"--arch {ARCHITECTURES[-1]}, or no --arch for this machine's",
        )
    is_another = options.architecture not in {"", here}
    for name, typed in _TYPED.items():
        if not getattr(options, name) or name in target.reads:
            continue
        if name not in target.reads_for_another:
            raise InputError(
                f"the target {target.name} has no use for {typed}",
                expected=_expected(target),
                fix=f"the same command without {typed}",
            )
        if not is_another:
            raise InputError(
                f"the target {target.name} reads {typed} for another processor than this "
                f"machine's, which is {here}",
                expected=f"{typed} together with --arch of another processor",
                fix=f"the same command without {typed}",
            )


def _expected(target: Target) -> str:
    read = target.reads | target.reads_for_another
    known = [typed for name, typed in _TYPED.items() if name in read]
    return (
        f"of {', '.join(_TYPED.values())} only {', '.join(known)}"
        if known
        else (f"none of {', '.join(_TYPED.values())}")
    )
