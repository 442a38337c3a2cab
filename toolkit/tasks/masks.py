"""Fill-mask: what may stand where a text has a mask."""

from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Encoding

from toolkit.errors import InputError
from toolkit.tasks.reader import Batch, Item, Result
from toolkit.tasks.text import TextEncoder
from toolkit.tensors import Array


class MaskReader:
    """The likeliest tokens for each mask of a text.

    Args:
        encoder: Makes tokens of texts.
        output: The graph output, float[batch, sequence, vocabulary].
        mask_token: What a mask is written as.
        top_k: Fills for each mask.

    Raises:
        InputError: The tokenizer has no such token, or `top_k` is not positive.
    """

    def __init__(self, encoder: TextEncoder, output: str, *, mask_token: str, top_k: int) -> None:
        self._encoder = encoder
        self._output = output
        self._mask = mask_token
        self._mask_id = encoder.tokenizer.token_to_id(mask_token)
        if self._mask_id is None:
            raise InputError(
                f"the tokenizer has no mask {mask_token!r}",
                expected="a tokenizer whose model was trained to fill masks",
            )
        if top_k < 1:
            raise InputError(f"{top_k} fills were asked for", expected="1 or more")
        self._top_k = top_k

    def encode(self, items: Sequence[Item], numbers: Sequence[int]) -> Batch:
        """The batch of texts.

        Raises:
            InputError: An item is no text or has no mask, or is too long and not to be cut.
        """
        for item, number in zip(items, numbers, strict=True):
            if not isinstance(item, str):
                raise InputError(f"text {number} is {item!r}", expected="a string")
        encodings = self._encoder.encodings(items, numbers)
        for item, encoding, number in zip(items, encodings, numbers, strict=True):
            if self._mask_id not in encoding.ids:
                cut = " left after it was cut" if self._mask in item else ""
                raise InputError(
                    f"text {number} has no {self._mask}{cut}",
                    expected=f"{self._mask} where a word shall be found",
                )
        return Batch(self._encoder.feeds(encodings), encodings)

    def decode(self, outputs: Mapping[str, Array], batch: Batch) -> list[Result]:
        """{"masks": [{"start", "end", "fills": [{"text", "score", "token"}]}]} a text."""
        rows = zip(batch.notes, outputs[self._output], strict=True)
        return [{"masks": self._masks(encoding, logits)} for encoding, logits in rows]

    def _masks(self, encoding: Encoding, logits: Array) -> list[Result]:
        masks: list[Result] = []
        for position, token in enumerate(encoding.ids):
            if token == self._mask_id:
                start, end = encoding.offsets[position]
                masks.append({"start": start, "end": end, "fills": self._fills(logits[position])})
        return masks

    def _fills(self, logits: Array) -> list[Result]:
        powers = np.exp(logits - logits.max())
        count = min(self._top_k, len(logits))
        best = np.argpartition(-logits, count - 1)[:count]
        best = best[np.argsort(-logits[best], kind="stable")]
        scores = powers[best] / powers.sum()
        return [
            {
                "text": self._encoder.tokenizer.decode([token], skip_special_tokens=False),
                "score": score,
                "token": token,
            }
            for token, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]
