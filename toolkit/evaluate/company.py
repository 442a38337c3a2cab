"""The same input in other settings: its answer must not depend on them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.agreement import agreement, which_changed
from toolkit.evaluate.decisions import Decisions
from toolkit.evaluate.samples import Samples, stacked
from toolkit.evaluate.scoring import Answers, answer_all, runs_alone
from toolkit.inference import Model
from toolkit.runtime import Session
from toolkit.tensors import Array

PADDING = 7
"""Columns of padding added on one side: no multiple of what kernels work on at once."""

STEADY = 1e-3
"""A float model whose probabilities move by more than this does not keep them in a setting."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one setting does to a variant's answers.

    Attributes:
        name: The setting.
        flipped: Positions of the samples whose answer differs from that of the sample alone.
        largest_change: The largest change of a probability, or of a raw output.
        n: Samples compared.
    """

    name: str
    flipped: frozenset[int]
    largest_change: float
    n: int


def other_settings(
    model: Model, samples: Samples, open_with: Callable[[int], Session]
) -> tuple[Setting, ...]:
    """Answers of samples alone beside those in other settings.

    The settings: with the shortest and with the longest of the samples in the same batch (of rows
    and images, with those of the smallest and the largest values), with padding on the right and
    on the left where the model takes token ids of any length, and with one and with two threads.
    `new_flips` says which of them count.

    Args:
        model: The variant; no language model.
        samples: At least one; each is run some eight times.
        open_with: Opens the variant with so many threads.
    """
    alone = answer_all(model, samples, batch_size=1)
    found: list[Setting] = []
    if not runs_alone(model, samples):
        order = _by_size(model, samples)
        found += [
            _setting(model, name, alone, _beside(model, samples, mate))
            for name, mate in (("short mates", order[0]), ("long mates", order[-1]))
        ]
    if _takes_padding(model):
        found += [
            _setting(model, f"padding on the {side}", alone, _padded(model, samples, side))
            for side in ("right", "left")
        ]
    for threads in (1, 2):
        other = Model(model.source, model.variant, open_with(threads), model.task)
        name = "one thread" if threads == 1 else "two threads"
        found.append(_setting(model, name, alone, answer_all(other, samples, batch_size=1)))
    return tuple(found)


def new_flips(found: Sequence[Setting], before: Sequence[Setting]) -> dict[str, int]:
    """Samples that a variant flips and its parent does not, by setting.

    Settings that move the parent's own answers by more than `STEADY` are left out, as padding on
    the left does in a model of absolute positions: there the input is another one.

    Args:
        found: Of the variant.
        before: Of its parent, on the same samples.

    Raises:
        InputError: The parent's own answers are not finite, and no setting would count.
    """
    for setting in before:
        if not math.isfinite(setting.largest_change):
            raise InputError(
                f"the parent's answers change by {setting.largest_change} with {setting.name}",
                expected="finite answers of the float model for every sample",
                fix="toolkit validate PKG   (on the parent)",
            )
    own = {setting.name: setting for setting in before if setting.largest_change <= STEADY}
    return {
        setting.name: len(setting.flipped - own[setting.name].flipped)
        for setting in found
        if setting.name in own
    }


def _setting(model: Model, name: str, alone: Answers, other: Answers) -> Setting:
    task = model.task.specification
    flipped = np.flatnonzero(which_changed(task, alone, other))
    return Setting(
        name=name,
        flipped=frozenset(flipped.tolist()),
        largest_change=agreement(task, alone, other).largest_change,
        n=len(alone),
    )


def _by_size(model: Model, samples: Samples) -> list[int]:
    """Positions from the shortest text to the longest; of others, by the size of their numbers."""
    task = model.task.specification
    if task.text is not None and task.image is None:
        from toolkit.tasks.text import characters

        return sorted(range(len(samples)), key=lambda i: characters(samples.items[i]))

    def size(position: int) -> float:
        feeds = _encoded(model, samples, position)
        return sum(float(np.abs(value.astype(np.float64)).sum()) for value in feeds.values())

    return sorted(range(len(samples)), key=size)


def _encoded(model: Model, samples: Samples, position: int) -> dict[str, Array]:
    items = [samples.items[position]]
    if model.task.specification.name == "tensors":
        return stacked(items, model.inputs)
    return model.task.encode(items, [position + 1])


def _beside(model: Model, samples: Samples, mate: int) -> Answers:
    """Every sample in a batch of two with one of them."""
    if model.task.takes_one:
        return answer_all(model, samples, batch_size=1)
    paired = samples.take([i for own in range(len(samples)) for i in (own, mate)])
    return _every_second(answer_all(model, paired, batch_size=2))


def _every_second(answers: Answers) -> Answers:
    if isinstance(answers, Decisions):
        return Decisions(keys=answers.keys[::2], scores=answers.scores[::2])
    return answers[::2]


def _takes_padding(model: Model) -> bool:
    task = model.task
    spec = task.specification
    if spec.text is None or spec.image is not None or task.reads_items:
        return False
    from toolkit.tasks.text import fixed_length

    # Texts are padded to a fixed length already: a graph of one has no room for more.
    is_open = fixed_length(model.inputs) is None
    return is_open and all(len(tensor.shape) == 2 for tensor in model.inputs)


def _padded(model: Model, samples: Samples, side: str) -> Answers:
    """Every sample alone, with more padding than it needs."""
    task = model.task
    assert task.specification.text is not None
    fill = task.specification.text.pad_id
    widths = (0, PADDING) if side == "right" else (PADDING, 0)
    rows: list[Array] = []
    for position in range(len(samples)):
        feeds = task.encode([samples.items[position]], [position + 1])
        room = task.specification.text.max_length - feeds[model.inputs[0].name].shape[1]
        if room < PADDING:
            padded = feeds
        else:
            padded = {
                name: np.pad(
                    value,
                    ((0, 0), widths),
                    constant_values=fill if name == "input_ids" else 0,
                )
                for name, value in feeds.items()
            }
        answer = model.session.run(padded)[task.specification.output].reshape(1, -1)
        rows.append(task.probabilities(answer) if task.specification.labels else answer)
    return np.concatenate(rows)
