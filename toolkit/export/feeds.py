"""Feeds of other sizes than the reference's, made of the reference's own values.

Token ids, category indexes and masks stay valid because no value is invented: an axis is resized by
choosing among its positions, and inputs that share a dimension choose the same ones.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array, Feeds

Dimensions = Mapping[str, Mapping[int, str]]
"""{input: {axis: name}} of every symbolic dimension."""
Sizes = dict[str, int]
"""Size by the name of a symbolic dimension."""

_LARGEST_FILLER = 33


def dimension_sizes(feeds: Feeds, dimensions: Dimensions) -> Sizes:
    """The size that each symbolic dimension has in the feeds.

    Raises:
        InputError: A dimension names an input or an axis that does not exist, is empty, or has two
            sizes.
    """
    sizes: Sizes = {}
    for name, axes in dimensions.items():
        if name not in feeds:
            raise InputError(
                f"a symbolic dimension is declared for the input {name!r}, which does not exist",
                expected=f"one of {', '.join(feeds)}",
            )
        shape = feeds[name].shape
        for axis, dimension in axes.items():
            if not 0 <= axis < len(shape) or shape[axis] == 0:
                raise InputError(
                    f"axis {axis} of input {name!r} is declared as {dimension!r}, but the example "
                    f"has the shape {[*shape]}",
                    expected="an axis that exists and is not empty",
                )
            if sizes.setdefault(dimension, shape[axis]) != shape[axis]:
                raise InputError(
                    f"dimension {dimension!r} is {sizes[dimension]} and, in input {name!r}, "
                    f"{shape[axis]}",
                    expected="one size a dimension",
                )
    return sizes


def batch_dimension(dimensions: Dimensions) -> str:
    """The name of the first input's symbolic axis 0; empty where there is none."""
    return next((axes[0] for axes in dimensions.values() if 0 in axes), "")


def trace_sizes(sizes: Sizes) -> Sizes:
    """Sizes to trace with: at least 2 and all different.

    torch.export makes a constant of a size of 1, and may tie two dimensions of one size together.
    """
    chosen: Sizes = {}
    for name, size in sizes.items():
        wanted = max(size, 2)
        while wanted in chosen.values():
            wanted += 1
        chosen[name] = wanted
    return chosen


def parity_sizes(
    sizes: Sizes, *, traced: Sizes, batch: str, longest: int | None
) -> Iterator[Sizes]:
    """Other sizes than the traced ones, the telling ones first: batch 1, odd, short and long.

    Args:
        sizes: The reference's.
        traced: Sizes to leave out.
        batch: The batch dimension's name; empty for none.
        longest: Most that a dimension other than the batch may have; none for no limit.
    """
    most = longest or sys.maxsize

    def at(rows: int, other: Callable[[int], int]) -> Sizes:
        return {
            name: rows if name == batch else max(1, min(most, other(size)))
            for name, size in sizes.items()
        }

    candidates = [
        at(1, lambda size: size),
        at(3, lambda size: size // 4),
        at(5, lambda size: 2 * size + 1),
        at(7, lambda size: size // 2 + 1),
        at(2 * sizes.get(batch, 0) + 1, lambda size: size + 3),
    ]
    # Fillers, for where the model itself cannot take some of those.
    candidates += [at(rows, partial(max, rows)) for rows in range(2, _LARGEST_FILLER)]
    candidates += [at(rows + 1, partial(min, rows)) for rows in range(2, _LARGEST_FILLER)]
    seen = [traced]
    for candidate in candidates:
        if candidate not in seen:
            seen.append(candidate)
            yield candidate


def resized(
    feeds: Feeds, dimensions: Dimensions, sizes: Sizes, *, batch: str, seed: int
) -> dict[str, Array]:
    """Feeds of other sizes, made of the values of these.

    Rows are drawn at random; along any other axis positions are repeated or left out evenly, in
    order, so that padding stays where it was.

    Args:
        feeds: The reference.
        dimensions: Its symbolic dimensions.
        sizes: The sizes to make.
        batch: The batch dimension's name.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    chosen: dict[str, Array] = {}
    for name, old in dimension_sizes(feeds, dimensions).items():
        if name == batch:
            chosen[name] = rng.integers(0, old, sizes[name])
        else:
            chosen[name] = np.arange(sizes[name]) * old // sizes[name]
    made: dict[str, Array] = {}
    for name, array in feeds.items():
        for axis, dimension in dimensions.get(name, {}).items():
            array = np.take(array, chosen[dimension], axis=axis)  # noqa: PLW2901 - axis by axis
        made[name] = np.ascontiguousarray(array)
    return made


def sizes_text(sizes: Sizes) -> str:
    """Sizes as a person writes them: "batch 1, sequence 7"."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or "the fixed shape"
