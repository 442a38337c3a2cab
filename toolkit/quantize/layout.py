"""What the arrays of an `.npz` file are to a graph: rows of a batch, or whole runs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.company import STEADY
from toolkit.evaluate.samples import Samples, stacked
from toolkit.npz import read_npz, write_npz
from toolkit.runtime import Session
from toolkit.tasks import Item
from toolkit.tensors import Array, TensorSpec, describe, make_feeds

RANDOM = 64
"""Samples that are made up where there is no data."""

RANDOM_SIZE = 8
"""Of a symbolic dimension behind the first, in samples that are made up."""


TOGETHER = 16
"""Rows that are run in one batch and alone, to see whether a batch is made of answers."""


class _Digest(Protocol):
    def hexdigest(self) -> str: ...


def samples_of(
    arrays: Mapping[str, Array], session: Session, *, origin: Path | str, sha256: _Digest
) -> Samples:
    """The samples that arrays hold for a graph.

    Arrays with as many axes as the graph inputs hold rows: of a batch, where the graph takes any
    number of them and gives each its own answer, or else as many rows a run as it takes. Arrays
    with one more axis hold whole runs, one after the other, which is how a model is fed that has
    inputs without a batch axis, such as a state or a sampling rate. Other arrays are left out.

    Args:
        arrays: By name.
        session: The model.
        origin: Where they came from, for messages.
        sha256: Of that.

    Raises:
        InputError: An input has no array, or the arrays fit neither layout or not the model.
    """
    inputs = session.inputs
    expected = ", ".join(f"{spec.name}: {spec}" for spec in inputs)
    missing = [spec.name for spec in inputs if spec.name not in arrays]
    if missing:
        raise InputError(
            f"{origin} has no array {missing[0]!r}",
            expected=f"{expected}; it has {', '.join(arrays) or 'none'}",
        )
    chosen = {spec.name: arrays[spec.name] for spec in inputs}
    extra = {chosen[spec.name].ndim - len(spec.shape) for spec in inputs}
    items: list[Item]
    if extra == {1}:
        items = _listed(chosen, origin)
    elif extra == {0}:
        items = _rows(chosen, session, origin)
    else:
        held = ", ".join(f"{name}: {describe(array)}" for name, array in chosen.items())
        raise InputError(
            f"{origin} holds {held}",
            expected=f"{expected}, or all of them with one more axis in front, for whole runs",
        )
    stacked(items[:1], inputs)  # what does not fit is said at once
    return Samples(items=tuple(items), targets=None, columns={}, sha256=sha256.hexdigest())


def read_runs(file: Path, session: Session) -> tuple[Samples, dict[str, Array]]:
    """The samples of an `.npz` file, and all of its arrays; see `samples_of`.

    Raises:
        InputError: It is no `.npz` file, or does not fit the model.
    """
    if file.suffix.lower() != ".npz":
        raise InputError(
            f"{file} is no .npz file",
            expected="an .npz with an array for each graph input: "
            + ", ".join(f"{spec.name}: {spec}" for spec in session.inputs),
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    arrays = read_npz(file, content)
    return samples_of(arrays, session, origin=file, sha256=hashlib.sha256(content)), arrays


def random_samples(session: Session, *, seed: int) -> Samples:
    """Made-up runs: see `make_feeds`, with one row a run.

    Raises:
        InputError: The model does not run on them.
    """
    first = {spec.shape[0] for spec in session.inputs if spec.shape}
    sizes = {name: 1 for name in first if isinstance(name, str) and name != "?"}
    runs = [
        make_feeds(session.inputs, sizes=sizes, seed=seed * RANDOM + i, default=RANDOM_SIZE)
        for i in range(RANDOM)
    ]
    try:
        session.run(runs[0])
    except InputError as error:
        raise InputError(
            f"the model does not run on made-up inputs: {error.problem}",
            expected="real inputs",
            fix="--data FILE.npz, with an array for each graph input",
        ) from error
    arrays = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    if all(spec.shape for spec in session.inputs) and all(a.shape[1] == 1 for a in arrays.values()):
        arrays = {name: array[:, 0] for name, array in arrays.items()}
    digest = hashlib.sha256(write_npz(arrays))
    return samples_of(arrays, session, origin="the random inputs", sha256=digest)


def _listed(arrays: Mapping[str, Array], origin: Path | str) -> list[Item]:
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"{origin} has arrays of different lengths: {sizes}", expected="one length"
        )
    count = next(iter(sizes.values()))
    if not count:
        raise InputError(f"{origin} holds no sample", expected="at least one")
    return [{name: array[i] for name, array in arrays.items()} for i in range(count)]


def _rows(arrays: Mapping[str, Array], session: Session, origin: Path | str) -> list[Item]:
    """Rows of a batch, or runs of as many rows as the model takes."""
    lengths = {len(array) if array.ndim else None for array in arrays.values()}
    if len(lengths) > 1 or None in lengths:  # a scalar, or a state: the arrays are one run
        return [dict(arrays)]
    rows = _listed(arrays, origin)
    taken = {spec.shape[0] for spec in session.inputs}
    if not any(isinstance(size, int) for size in taken):
        if _is_batch(rows, session):
            return rows
        size = 1
    else:
        fixed = {size for size in taken if isinstance(size, int)}
        size = fixed.pop() if len(fixed) == 1 else 0
    if not size or len(rows) < size:
        raise InputError(
            f"{origin} holds {len(rows)} rows",
            expected=_takes(session.inputs) + ", or whole runs, with one more axis in front",
        )
    return [
        {name: array[start : start + size] for name, array in arrays.items()}
        for start in range(0, len(rows) - size + 1, size)
    ]


def _takes(inputs: tuple[TensorSpec, ...]) -> str:
    return "as many as a run takes: " + ", ".join(f"{spec.name}: {spec}" for spec in inputs)


def _is_batch(rows: list[Item], session: Session) -> bool:
    """Whether some rows get the answers in one run that each gets in its own."""
    count = min(len(rows), TOGETHER)
    some = [rows[i * len(rows) // count] for i in range(count)]
    try:
        together = session.run(stacked(some, session.inputs))
        alone = [session.run(stacked([row], session.inputs)) for row in some]
    except InputError:  # one row a run may still do
        return False
    for name, value in together.items():
        array = np.asarray(value)
        if array.shape[:1] != (count,):
            return False
        for i, one in enumerate(alone):
            if np.shape(one[name]) != (1, *array.shape[1:]):
                return False
            if array.dtype.kind != "f":
                continue
            largest = max(float(np.abs(array[i]).max(initial=0.0)), 1.0)
            if not float(np.abs(array[i] - one[name][0]).max(initial=0.0)) <= STEADY * largest:
                return False
    return True
