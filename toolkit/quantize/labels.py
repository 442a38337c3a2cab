"""Labels beside the arrays of a bare file: which output they belong to, and what they say of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.samples import LABEL_COLUMNS, Samples, is_whole, stacked
from toolkit.runtime import Session
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array, describe

NAMES = (*LABEL_COLUMNS, "labels", "targets", "y")
"""What arrays of labels are called, for the note that such an array was not looked at."""


def with_labels(
    samples: Samples,
    arrays: Mapping[str, Array],
    column: str,
    session: Session,
    *,
    origin: Path | str,
) -> tuple[Samples, TaskSpec]:
    """The samples with their labels, and what these say of the model's outputs.

    Whole numbers are classes, from 0 on: the first output that gives each sample two or more
    fractions in a row holds their scores. Fractions are values: the first output that gives each
    sample one fraction holds them.

    Args:
        samples: From `samples_of`, of the same arrays.
        arrays: By name.
        column: Which of them holds one label a sample.
        session: The model.
        origin: Where the arrays came from, for messages.

    Returns:
        The samples, and a task "tensors" with `output`, and for classes `labels`.

    Raises:
        InputError: There is no such array, it is a graph input, has not one finite number a sample,
            says the same of all, or has a class that no output has a score for.
    """
    labels = _checked(samples, arrays, column, session, origin)
    widths = _widths(session, samples)
    held = ", ".join(f"{spec.name}: {spec}" for spec in session.outputs)
    if labels.dtype.kind == "f":
        output = next((name for name, width in widths.items() if width == 1), None)
        if output is None:
            raise InputError(
                f"{column!r} of {origin} holds fractions, and no output one value a sample",
                expected=f"an output with one value a sample, for fractions; there is {held}",
                fix="store classes as whole numbers",
            )
        task = TaskSpec(name="tensors", output=output)
    else:
        output = next((name for name, width in widths.items() if width > 1), None)
        if output is None:
            raise InputError(
                f"{column!r} of {origin} holds whole numbers, which are classes, and no output the "
                "scores of two or more",
                expected=f"an output with a score for each class; there is {held}",
                fix="store values as float32",
            )
        classes = widths[output]
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= classes:
            wrong = lowest if lowest < 0 else highest
            where = int(np.flatnonzero(labels == wrong)[0])
            raise InputError(
                f"{column!r} of {origin} has the class {wrong} (sample {where}), for which "
                f"{output!r} has no score",
                expected=f"classes from 0 to {classes - 1}",
                fix=f"leave such samples out of {origin}, or number the classes as {output!r} does",
            )
        names = tuple(str(number) for number in range(classes))
        task = TaskSpec(name="tensors", output=output, labels=names)
    return replace(samples, targets=tuple(labels.tolist())), task


def note_of(task: TaskSpec, column: str) -> str:
    """What the user should know of how labels were read."""
    metric = "accuracy: the largest score" if task.labels else "R2: the value"
    return f"{column!r} was held against {task.output!r} by {metric} of each sample"


def unread(arrays: Mapping[str, Array], session: Session) -> str:
    """A note where an array looks like labels that nobody asked to be read; empty elsewhere."""
    inputs = {spec.name for spec in session.inputs}
    found = next((name for name in NAMES if name in arrays and name not in inputs), "")
    if not found:
        return ""
    return f"{found!r} was not looked at; --label-column {found} holds candidates to it"


def _checked(
    samples: Samples,
    arrays: Mapping[str, Array],
    column: str,
    session: Session,
    origin: Path | str,
) -> Array:
    inputs = {spec.name for spec in session.inputs}
    if column not in arrays or column in inputs:
        others = [name for name in arrays if name not in inputs]
        raise InputError(
            f"{column!r} is a graph input"
            if column in inputs
            else f"{origin} has no array {column!r} of labels",
            expected=f"one of {', '.join(others)}"
            if others
            else "an array that is no graph input, with one label a sample",
            fix="leave --label-column out to hold candidates to the file's own answers",
        )
    labels = arrays[column]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iufb":
        raise InputError(
            f"{column!r} of {origin} is {describe(arrays[column])}",
            expected="one number a sample: whole ones for classes, fractions for values",
            fix=f"store {column!r} with one axis, and classes as their numbers",
        )
    if len(labels) != len(samples):
        raise InputError(
            f"{column!r} of {origin} holds {len(labels)} labels for {len(samples)} samples",
            expected="one label a sample" + _run_of(samples, session),
            fix=f"store {column!r} with {len(samples)} labels, in the order of the samples",
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        where = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise InputError(
            f"{column!r} of {origin} has the value {labels[where]} (sample {where})",
            expected="finite numbers",
            fix=f"leave samples without a label out of {origin}",
        )
    labels = labels.astype(np.int64) if labels.dtype.kind == "b" else labels
    if len(np.unique(labels)) < 2:
        raise InputError(
            f"every label of {origin} is {labels[0]}: no drop could be seen",
            expected="at least two different labels",
            fix="leave --label-column out to hold candidates to the file's own answers",
        )
    return labels


def _run_of(samples: Samples, session: Session) -> str:
    if not is_whole(samples.items[0], session.inputs):
        return ""
    return "; the model takes whole runs, of which each is a sample"


def _widths(session: Session, samples: Samples) -> dict[str, int]:
    """How many fractions in a row each output gives for a sample; other outputs are left out."""
    found: dict[str, int] = {}
    for name, value in session.run(stacked(samples.items[:1], session.inputs)).items():
        array = np.asarray(value)
        if array.dtype.kind == "f" and array.size and max(array.shape, default=1) == array.size:
            found[name] = array.size
    return found
