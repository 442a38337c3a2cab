"""Feature extraction without pooling: the state of every token of a text."""

from collections.abc import Mapping, Sequence

from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.text import TextEncoder
from toolkit.tensors import Array


class StateReader:
    """Token states without those of the padding.

    Args:
        encoder: Makes tokens of texts.
        output: The graph output, float[batch, sequence, width].
    """

    def __init__(self, encoder: TextEncoder, output: str) -> None:
        self._encoder = encoder
        self._output = output

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of texts or pairs."""
        encodings = self._encoder.encodings(items, numbers)
        lengths = [sum(encoding.attention_mask) for encoding in encodings]
        return Batch(self._encoder.feeds(encodings), lengths)

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"embedding": [[...] a token]} a text, special tokens included."""
        rows = zip(outputs[self._output], batch.notes, strict=True)
        return [{"embedding": states[:length].tolist()} for states, length in rows]
