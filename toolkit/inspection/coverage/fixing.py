"""`--fix-shapes NAME=SIZE,...`: a model with some of its symbolic dimensions fixed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from toolkit.errors import InputError

if TYPE_CHECKING:
    from onnx import ModelProto

_FORM = "NAME=SIZE,... such as batch=1,sequence=128"


def parse_sizes(text: str) -> dict[str, int]:
    """Sizes by dimension name.

    Args:
        text: As typed, `batch=1,sequence=128`.

    Raises:
        InputError: It is not of that form, a size is no whole number above 0, or a name has two.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = (piece.strip() for piece in part.rpartition("="))
        if not equals or not name:
            raise InputError(f"--fix-shapes {part.strip()!r} has no name and size", expected=_FORM)
        if not size.isascii() or not size.isdigit() or int(size) < 1:
            raise InputError(
                f"--fix-shapes {name}={size} is no size", expected="a whole number above 0"
            )
        if sizes.setdefault(name, int(size)) != int(size):
            raise InputError(f"--fix-shapes gives {name!r} two sizes", expected=_FORM)
    return sizes


def check_names(sizes: Mapping[str, int], known: Iterable[str]) -> None:
    """Every name is a dimension of the model.

    Args:
        sizes: Sizes by name.
        known: The names of the symbolic dimensions of all inputs.

    Raises:
        InputError: One is not.
    """
    names = [name for name in dict.fromkeys(known) if name != "?"]
    for name in sizes:
        if name not in names:
            raise InputError(
                f"--fix-shapes: no input has a dimension {name!r}",
                expected=f"one of {', '.join(names)}" if names else "no symbolic dimension is left",
                fix="leave --fix-shapes out to see the symbolic dimensions",
            )


def fix(model: "ModelProto", sizes: Mapping[str, int]) -> None:
    """Write the sizes into a model, and drop the shapes that were inferred without them.

    Args:
        model: Is changed.
        sizes: Sizes by name; names that it does not have are left alone.
    """
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    del model.graph.value_info[:]
