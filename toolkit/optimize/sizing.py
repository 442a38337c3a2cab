"""At which sizes a rewritten graph is compared with the graph it came from, and timed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from toolkit.export.feeds import (
    Dimensions,
    Sizes,
    batch_dimension,
    parity_sizes,
    resized,
    sizes_text,
)
from toolkit.tensors import Array, Feeds, TensorSpec

SHORT, LONG = 8, 128
"""Tokens of a short and of a long input."""
PROMPT = 64

_TRIED = 12
"""Other sizes that are tried; a graph may take few of them."""

_SEQUENCE = re.compile(r"seq|len|token|time|frame|past", re.IGNORECASE)
_SUM = re.compile(r"\w+(?: \+ \w+)+")
"""How the exporter names a dimension that is the sum of others: "past + sequence"."""


class Resizing:
    """A model's reference inputs at other sizes.

    Attributes:
        sizes: The size of each symbolic dimension in the reference.
        batch: The batch dimension's name; empty where there is none.
    """

    def __init__(self, specs: Sequence[TensorSpec], reference: Feeds) -> None:
        self._reference = reference
        self._dimensions: Dimensions = {
            spec.name: {
                axis: name
                for axis, name in enumerate(spec.shape)
                # Nothing can be made of an empty axis, and nothing says what "?" goes with.
                if isinstance(name, str) and name != "?" and reference[spec.name].shape[axis]
            }
            for spec in specs
        }
        found = {
            name: reference[spec.name].shape[axis]
            for spec in specs
            for axis, name in enumerate(spec.shape)
            if isinstance(name, str) and name != "?"
        }
        self.sizes: Sizes = {
            name: size
            for name, size in found.items()
            if not (_SUM.fullmatch(name) and all(part in found for part in name.split(" + ")))
        }
        self._sums = [name for name in found if name not in self.sizes]
        self._fixed = {name: size for name, size in self.sizes.items() if not size}
        self.batch = batch_dimension(self._dimensions)

    def feeds(self, sizes: Mapping[str, int], *, seed: int = 0) -> dict[str, Array]:
        """The reference at these sizes; a dimension that is not named keeps its own."""
        asked = {**self.sizes, **sizes, **self._fixed}
        asked |= {name: sum(asked[part] for part in name.split(" + ")) for name in self._sums}
        return resized(self._reference, self._dimensions, asked, batch=self.batch, seed=seed)

    def text(self, sizes: Mapping[str, int]) -> str:
        """Sizes in words; see `feeds`."""
        return sizes_text({**self.sizes, **sizes, **self._fixed})

    def others(self, *, longest: int | None) -> Iterator[tuple[str, dict[str, Array]]]:
        """Other sizes than the reference's, in words, with feeds of each.

        Args:
            longest: Most that a dimension other than the batch may have; None for no limit.
        """
        free = {name: size for name, size in self.sizes.items() if name not in self._fixed}
        if not free:
            return
        found = parity_sizes(free, traced=free, batch=self.batch, longest=longest)
        for number, sizes in enumerate(islice(found, _TRIED), start=1):
            yield self.text(sizes), self.feeds(sizes, seed=number)

    def timed(self, *, longest: int | None) -> list[list[Sizes]]:
        """What the latency is measured at, each with what to take where the model refuses it.

        The reference itself, first. Where a dimension is named after a sequence: one row, short
        and long. A decoder with a cache: one token behind a short and behind a long past, and a
        prompt.

        Args:
            longest: Most that a sequence may have; None for no limit.
        """
        one = {self.batch: 1} if self.batch else {}
        names = [name for name in self.sizes if name != self.batch and name not in self._fixed]
        sequences = [name for name in names if _SEQUENCE.search(name)]
        pasts = [name for name in sequences if "past" in name]
        # What a decoder attends to is as long for every token that it writes.
        memories = [name for name in sequences if pasts and name.startswith("encoder")]
        others = [name for name in sequences if name not in {*pasts, *memories}]

        def at(*, tokens: int, past: int, memory: int) -> Sizes:
            found = dict.fromkeys(others, tokens)
            return {**one, **found, **dict.fromkeys(pasts, past), **dict.fromkeys(memories, memory)}

        short, long, prompt = (
            _halved(min(size, longest or size)) for size in (SHORT, LONG, PROMPT)
        )
        if pasts:
            return [
                [{}],
                [at(tokens=1, past=size, memory=size) for size in short],
                [at(tokens=1, past=size, memory=size) for size in long],
                [at(tokens=size, past=0, memory=size) for size in prompt],
            ]
        if others:
            return [[{}], *([at(tokens=n, past=0, memory=0) for n in ns] for ns in (short, long))]
        return [[{}], [one]]


def _halved(size: int) -> list[int]:
    """A size and its halves, down to 1."""
    return [size >> shift for shift in range(size.bit_length())]
