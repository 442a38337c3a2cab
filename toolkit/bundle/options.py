"""Whether a target reads what the user asked of a bundle: an option that nothing reads is a lie."""

from toolkit.bundle.job import BundleOptions, Target
from toolkit.bundle.processors import PROCESSORS, here
from toolkit.errors import InputError

_TYPED = {"architecture": "--arch", "runtime": "--runtime", "sysroot": "--sysroot"}


def check_options(options: BundleOptions, target: Target) -> None:
    """Refuse options that the target would ignore, and processors that nobody knows.

    Args:
        options: What the user asked for.
        target: What the bundle is for.

    Raises:
        InputError: It ignores one of them, here or at all, or the processor is unknown.
    """
    machine = here()
    if options.architecture not in {"", machine, *PROCESSORS}:
        raise InputError(
            f"there is no architecture {options.architecture!r}",
            expected=f"one of {', '.join(PROCESSORS)}",
            fix=f"--arch {[*PROCESSORS][-1]}, or no --arch for this machine's",
        )
    is_another = options.architecture not in {"", machine}
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
                f"machine's, which is {machine}",
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
