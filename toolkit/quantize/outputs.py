"""Raw outputs of two variants side by side: each one by itself, and step after step."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from toolkit.runtime import Session
from toolkit.tensors import Array, Feeds

_AFFIXES = re.compile(
    r"^(past_key_values|past|present|prev|next|new|in|out)[_.]|[_.]?(in|out|new|next|n|0)$", re.I
)
"""What the name of a state has around it where it goes in or comes out."""


@dataclass
class SQNR:
    """Signal-to-quantization-noise ratios, added up over runs.

    Attributes:
        signals: Energy by output.
        noises: Energy of the change by output.
        counted: Outputs of whole numbers, whose energy is their count.
    """

    signals: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    noises: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counted: set[str] = field(default_factory=set)

    def add(self, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
        """Count one run of both; whole numbers that differ, and other shapes, are wholly lost."""
        for name, value in before.items():
            first, second = np.asarray(value), np.asarray(after[name])
            if first.dtype.kind not in "fiub":
                continue
            if first.shape != second.shape:
                self.signals[name] += float(first.size)
                self.noises[name] = math.inf
            elif first.dtype.kind == "f":
                exact = first.astype(np.float64)
                self.signals[name] += float((exact**2).sum())
                self.noises[name] += float(((exact - second) ** 2).sum())
            else:
                self.counted.add(name)
                self.signals[name] += first.size
                self.noises[name] += float((first != second).sum())

    @property
    def worst_db(self) -> float:
        """The least of any output; infinity where all are equal."""
        each = (_db(self.signals[name], self.noises[name]) for name in self.signals)
        return min(each, default=math.inf)

    @property
    def together_db(self) -> float:
        """Of all outputs of fractions as one."""
        names = self.signals.keys() - self.counted
        return _db(sum(self.signals[n] for n in names), sum(self.noises[n] for n in names))


def _db(signal: float, noise: float) -> float:
    if not math.isfinite(noise) or not math.isfinite(signal):
        return -math.inf
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def states(session: Session, feeds: Feeds) -> dict[str, str]:
    """The inputs that take a state, each with the output that is its next value.

    They are told by their names, such as "h" and "hn", "state" and "stateN", "c_in" and "c_out",
    and by a dtype and a shape that stay; a cache that grows is none. A model whose every input
    would be one is none that runs step by step.

    Args:
        session: The model.
        feeds: Of one run.
    """
    outputs = session.run(feeds)
    found: dict[str, str] = {}
    for spec in session.inputs:
        for output in session.outputs:
            stem = _stem(spec.name)
            value = np.asarray(outputs[output.name])
            fits = (value.dtype, value.shape) == (feeds[spec.name].dtype, feeds[spec.name].shape)
            if fits and value.ndim and stem and stem == _stem(output.name):
                found[spec.name] = output.name
                break
    return found if len(found) < len(session.inputs) else {}


def _stem(name: str) -> str:
    return _AFFIXES.sub("", name).lower()


def unrolled_db(
    before: Session, after: Session, steps: Sequence[Feeds], pairs: Mapping[str, str]
) -> float:
    """The worst output's SQNR where both sessions get their own state back after each step.

    Errors that a state carries on add up then, which no single run shows.

    Args:
        before: The parent.
        after: The candidate.
        steps: Feeds, one after the other; the states of the first one start both.
        pairs: From `states`.
    """
    found = SQNR()
    own: list[dict[str, Array]] = [{}, {}]
    for feeds in steps:
        outputs = []
        for number, session in enumerate((before, after)):
            made = session.run({**feeds, **own[number]})
            own[number] = {name: np.asarray(made[output]) for name, output in pairs.items()}
            outputs.append(made)
        found.add(*outputs)
    return found.worst_db
