"""Tensor specifications, and the feeds and outputs that are checked against them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import InputError

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Dimension = int | str
"""A fixed size, or the name of a symbolic dimension; "?" is one that nobody named."""


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a graph input takes or a graph output gives.

    Attributes:
        name: The tensor's name in the graph.
        dtype: numpy's name of the element type, or "string".
        shape: One entry an axis: a fixed size or the name of a symbolic dimension.
    """

    name: str
    dtype: str
    shape: tuple[Dimension, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def describe(array: Array) -> str:
    """Dtype and shape of an array, as `float32[2, 3]`."""
    dtype = "string" if array.dtype.kind in "OUS" else array.dtype.name
    return f"{dtype}[{', '.join(map(str, array.shape))}]"


def numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """Numpy's dtype of a tensor that holds no strings.

    Raises:
        InputError: numpy has no such type, as for bfloat16.
    """
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        dtype = np.dtype(np.void)
    if dtype.kind == "V":  # also where ml_dtypes is loaded, whose types ONNX Runtime does not take
        raise InputError(
            f"input {spec.name!r} is {spec}, a type that numpy cannot hold",
            expected="a float, integer, boolean or string input",
        )
    return dtype


def check_tensors(outputs: Mapping[str, object]) -> None:
    """Refuse outputs that are sequences or maps.

    Raises:
        InputError: There is one; it is named.
    """
    for name, value in outputs.items():
        if not isinstance(value, np.ndarray):
            raise InputError(
                f"output {name!r} is a {type(value).__name__}, no tensor",
                expected="tensors; a scikit-learn classifier gives them when it is converted with "
                "the option zipmap=False",
            )


def check_feeds(
    feeds: Feeds, specs: Sequence[TensorSpec], *, source: str, allow_non_finite: bool = False
) -> None:
    """Check names, dtypes, ranks, sizes and values of feeds, in this order.

    Args:
        feeds: Arrays by input name.
        specs: Every input that the graph takes.
        source: What to pass to `toolkit inspect` to see the specification.
        allow_non_finite: Let NaN and infinities through.

    Raises:
        InputError: Something does not fit; the message names the input and what was expected.
    """
    fix = f"toolkit inspect {source}        (prints the input specification)"
    expected = ", ".join(f"{spec.name}: {spec}" for spec in specs)
    names = {spec.name for spec in specs}
    unknown = [name for name in feeds if name not in names]
    if unknown:
        raise InputError(f"there is no input named {unknown[0]!r}", expected=expected, fix=fix)
    missing = [spec.name for spec in specs if spec.name not in feeds]
    if missing:
        raise InputError(f"input {missing[0]!r} is missing", expected=expected, fix=fix)
    sizes: dict[str, tuple[int, str]] = {}
    for spec in specs:
        _check_shape(feeds[spec.name], spec, sizes, fix)
        if not allow_non_finite:
            _check_finite(feeds[spec.name], spec)


def _check_shape(
    array: Array, spec: TensorSpec, sizes: dict[str, tuple[int, str]], fix: str
) -> None:
    found = f"input {spec.name!r} is {describe(array)}"
    if describe(array).split("[")[0] != spec.dtype or array.ndim != len(spec.shape):
        raise InputError(found, expected=str(spec), fix=fix)
    for axis, (size, wanted) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(wanted, int):
            if size != wanted:
                raise InputError(found, expected=str(spec), fix=fix)
            continue
        if wanted == "?":
            continue
        first, owner = sizes.setdefault(wanted, (size, spec.name))
        if size != first:
            raise InputError(
                f"{found}: its axis {axis} ({wanted}) has size {size}, but {owner!r} has {first}",
                expected=f"{spec}, with one size of {wanted!r} for all inputs",
                fix=fix,
            )


def _check_finite(array: Array, spec: TensorSpec) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = int(array.size - np.isfinite(array).sum())
    raise InputError(
        f"input {spec.name!r} holds NaN or infinity in {bad} of {array.size} elements",
        expected="finite numbers",
        fix="clean the data; toolkit infer takes them with --allow-non-finite where the model is "
        "made for them",
    )


def make_feeds(
    specs: Iterable[TensorSpec], *, sizes: Mapping[str, int], seed: int, default: int = 2
) -> dict[str, Array]:
    """Seeded random feeds that fit the specifications.

    Floats are standard normal, booleans fair coins, integers 0 or 1 (valid as a token id, a mask
    and an index), strings "a".

    Args:
        specs: The inputs to fill.
        sizes: Sizes of the symbolic dimensions by name.
        seed: Seed of numpy's default generator.
        default: Size of a symbolic dimension that `sizes` does not name.

    Raises:
        InputError: A dtype that numpy cannot make.
    """
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for spec in specs:
        shape = tuple(d if isinstance(d, int) else sizes.get(d, default) for d in spec.shape)
        if spec.dtype == "string":
            feeds[spec.name] = np.full(shape, "a", dtype=object)
            continue
        dtype = numpy_dtype(spec)
        if dtype.kind == "f":
            feeds[spec.name] = rng.standard_normal(shape).astype(dtype)
        else:
            feeds[spec.name] = rng.integers(0, 2, shape).astype(dtype)
    return feeds
