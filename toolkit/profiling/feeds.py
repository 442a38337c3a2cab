"""What a profiled model is fed: a package's reference inputs at the sizes asked for, or random."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array, Feeds, TensorSpec, make_feeds


def profile_feeds(
    specs: Sequence[TensorSpec], *, reference: Feeds | None, sizes: Mapping[str, int], seed: int
) -> dict[str, Array]:
    """Feeds of the sizes asked for.

    A size is looked up as the dimension's name, or as `input:axis`, which also reaches dimensions
    without a name. Not given, the first axis is 1 and any other has its size in the reference.

    Args:
        specs: The graph inputs.
        reference: Real inputs, which are repeated or cut to size; None for random ones.
        sizes: Sizes by `batch` or by `input_ids:0`.
        seed: Seed of random feeds.

    Raises:
        InputError: A size is missing, or names no symbolic dimension.
    """
    if reference is not None and {s.name for s in specs} != set(reference):
        reference = None
    _check_names(specs, sizes)
    fixed = [_fixed(spec, sizes, reference) for spec in specs]
    missing = [size for _, shape in fixed for size in shape if isinstance(size, str)]
    if missing:
        asked = ",".join(f"{name}=SIZE" for name in dict.fromkeys(missing))
        raise InputError(
            "the model's inputs cannot be guessed: nothing says how large "
            + " and ".join(dict.fromkeys(missing))
            + " shall be",
            expected=", ".join(f"{spec.name}: {spec}" for spec in specs),
            fix=f"--shape {asked}",
        )
    if reference is None:
        exact = [TensorSpec(name=s.name, dtype=s.dtype, shape=shape) for s, shape in fixed]
        return make_feeds(exact, sizes={}, seed=seed)
    return {spec.name: _resized(reference[spec.name], shape) for spec, shape in fixed}


def samples_per_run(feeds: Feeds) -> int:
    """Data items in one run: the common size of the first axes; 1 where they differ."""
    sizes = {array.shape[0] for array in feeds.values() if array.ndim > 1}
    return int(sizes.pop()) if len(sizes) == 1 else 1


def _fixed(
    spec: TensorSpec, sizes: Mapping[str, int], reference: Feeds | None
) -> tuple[TensorSpec, tuple[int | str, ...]]:
    """The specification and its shape, with names left only where nothing says the size."""
    shape: list[int | str] = []
    for axis, size in enumerate(spec.shape):
        place = f"{spec.name}:{axis}"
        if isinstance(size, int):
            shape.append(size)
        elif place in sizes or size in sizes:
            shape.append(sizes[place] if place in sizes else sizes[size])
        elif axis == 0:
            shape.append(1)
        elif reference is not None and reference[spec.name].ndim == len(spec.shape):
            shape.append(int(reference[spec.name].shape[axis]))
        else:
            shape.append(place if size == "?" else size)
    return spec, tuple(shape)


def _check_names(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> None:
    known = {
        name: None
        for spec in specs
        for axis, size in enumerate(spec.shape)
        if isinstance(size, str)
        for name in ((f"{spec.name}:{axis}",) if size == "?" else (size,))
    }
    places = {f"{s.name}:{i}" for s in specs for i, d in enumerate(s.shape) if isinstance(d, str)}
    unknown = [name for name in sizes if name not in known and name not in places]
    if unknown:
        raise InputError(
            f"the model has no symbolic dimension {unknown[0]!r}",
            expected=f"one of {', '.join(known)}" if known else "none: every size is fixed",
            fix="toolkit inspect MODEL        (prints the symbolic dimensions)",
        )


def _resized(array: Array, shape: tuple[int | str, ...]) -> Array:
    """The array with each axis cut, or repeated from its start, to its size."""
    for axis, size in enumerate(shape):
        assert isinstance(size, int)
        array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return np.ascontiguousarray(array)
