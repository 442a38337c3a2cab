"""Speech by models that give one token a frame (wav2vec2 and its like)."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.audio import samples_of, waveform
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.specification import AudioSpec, CtcSpec
from toolkit.tensors import Array, TensorSpec

_OVERLAP = 6
"""Neighboring windows of a long audio share twice this part of a window."""


class CtcReader:
    """Audio to samples, and the likeliest token of each frame to text.

    Audio that is longer than a window is run as windows that overlap; of each frame the window
    counts in which it has most sound around it.

    Args:
        specification: How audio is read, with its `ctc`.
        labels: The tokens, in the order of the logits.
        inputs: The graph's only input, float32[batch, samples].
        output: The output with the logits, float32[batch, frames, tokens].

    Raises:
        InputError: The graph takes something else.
    """

    def __init__(
        self,
        specification: AudioSpec,
        labels: Sequence[str],
        inputs: Sequence[TensorSpec],
        output: str,
    ) -> None:
        if len(inputs) != 1 or specification.ctc is None:
            raise InputError(
                f"the graph takes {', '.join(spec.name for spec in inputs)}",
                expected="one input of samples, and how its frames are read",
                fix="export the package again",
            )
        self._specification = specification
        self._ctc: CtcSpec = specification.ctc
        self._labels = tuple(labels)
        self._input, self._output = inputs[0].name, output

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """float32[windows, samples] of one item: sound is not padded to share a batch."""
        rows: list[Array] = []
        starts: list[list[int]] = []
        for item, number in zip(items, numbers, strict=True):
            values = waveform(
                samples_of(item, number, self._specification.rate), self._specification
            )
            pieces = self._pieces(values)
            starts.append([start for start, _ in pieces])
            rows += [piece for _, piece in pieces]
        lengths = {len(row) for row in rows}
        if len(lengths) > 1:
            raise InputError(
                f"audio of {len(lengths)} lengths was to share a batch",
                expected="one item at a time",
            )
        owners = tuple(i for i, of_it in enumerate(starts) for _ in of_it)
        return Batch({self._input: np.stack(rows)}, notes=starts, rows=owners)

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"text"} an item."""
        logits = outputs[self._output]
        results: list[Result] = []
        for starts in batch.notes:
            mine, logits = logits[: len(starts)], logits[len(starts) :]
            results.append({"text": self.text(self._joined(mine.argmax(axis=2), starts))})
        return results

    def text(self, ids: Sequence[int]) -> str:
        """The text of the likeliest tokens, one a frame."""
        ctc = self._ctc
        tokens = [self._labels[token] for token, _ in groupby(ids)]
        said = (" " if token == ctc.delimiter else token for token in tokens if token != ctc.blank)
        text = "".join(said).strip()
        return text.lower() if ctc.lower_case else text

    def _pieces(self, values: Array) -> list[tuple[int, Array]]:
        """Windows by the frame that they begin with."""
        hop = self._ctc.hop
        longest = round(self._specification.window_s * self._specification.rate) // hop * hop
        if len(values) <= longest:
            return [(0, values)]
        step = (longest - 2 * (longest // _OVERLAP)) // hop * hop
        count = 1 + -(-(len(values) - longest) // step)
        filled = np.pad(values, (0, longest + (count - 1) * step - len(values)))
        return [
            (number * step // hop, filled[number * step : number * step + longest])
            for number in range(count)
        ]

    def _joined(self, ids: Array, starts: Sequence[int]) -> list[int]:
        """One token a frame of the whole audio, from int64[windows, frames]."""
        joined: list[int] = []
        for number, (start, row) in enumerate(zip(starts, ids.tolist(), strict=True)):
            last = number + 1 == len(starts)
            # The middle of what this window and the next one share.
            end = len(row) if last else (starts[number + 1] - start + len(row)) // 2
            joined += row[len(joined) - start : end]
        return joined
