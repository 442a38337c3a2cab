"""Symbolic dimensions of a graph's inputs, and the sizes that fix them before it is opened."""

from collections.abc import Mapping, Sequence

from toolkit.errors import InputError
from toolkit.tensors import TensorSpec

UNNAMED = "?"
SEQUENCE = 128
"""The size that messages propose for a dimension of tokens, or of steps in time."""

_LONG = ("seq", "len", "token", "time", "frame", "step")
"""Parts of the names that exporters give to such dimensions."""


def symbolic(inputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Names of the symbolic dimensions, each once, in order; "?" stands for those without one."""
    found = (size for spec in inputs for size in spec.shape if isinstance(size, str))
    return tuple(dict.fromkeys(found))


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Refuse sizes that no dimension has.

    Raises:
        InputError: A size is below 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"the dimension {name!r} cannot be {size}", expected="1 or more")


def check_names(sizes: Mapping[str, int], inputs: Sequence[TensorSpec], model: str) -> None:
    """Refuse sizes of dimensions that the graph does not have; ONNX Runtime ignores them.

    Args:
        sizes: Size by the name of a dimension.
        inputs: The graph's inputs before anything was fixed.
        model: What the graph is called, for messages.

    Raises:
        InputError: A name is none of the graph's dimensions.
    """
    known = symbolic(inputs)
    named = [name for name in known if name != UNNAMED]
    for name in sizes:
        if name not in named:
            raise InputError(
                f"{model} has no dimension {name!r}",
                expected=f"one of {', '.join(named)}" if named else "no name: its shapes are fixed",
                fix=f"--fix-shapes {proposal(named, sizes)}" if named else "leave --fix-shapes out",
            )


def proposal(names: Sequence[str], given: Mapping[str, int] | None = None) -> str:
    """Sizes to type: those that were given, and for other dimensions one by their name."""
    given = given or {}
    return ",".join(f"{name}={given.get(name) or _size(name)}" for name in names)


def _size(name: str) -> int:
    return SEQUENCE if any(part in name.lower() for part in _LONG) else 1


def needs_sizes(inputs: Sequence[TensorSpec], provider: str) -> str:
    """What is wrong with symbolic dimensions where fixed ones are needed; empty for nothing."""
    left = symbolic(inputs)
    if not left:
        return ""
    listed = ", ".join(f"{spec.name}: {spec}" for spec in inputs if symbolic([spec]))
    return f"{provider} needs fixed shapes, and the graph has symbolic dimensions ({listed})"


def how_to_fix(inputs: Sequence[TensorSpec], given: Mapping[str, int] | None = None) -> str:
    """What to type for the dimensions that are left, beside the sizes that were given."""
    left = symbolic(inputs)
    if UNNAMED in left:
        return "name the dimensions that show as ?, when the model is exported, and fix them"
    return f"--fix-shapes {proposal(tuple(dict.fromkeys((*(given or {}), *left))), given)}"
