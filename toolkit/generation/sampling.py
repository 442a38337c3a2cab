"""The next token from its logits."""

from collections.abc import Sequence

import numpy as np

from toolkit.generation.options import GenerationOptions
from toolkit.tensors import Array


class Sampler:
    """Chooses the tokens of one answer.

    Penalty, temperature, top-k and top-p are applied in this order, as transformers does.

    Args:
        options: How to choose.
        number: The answer's place in its call, so that equal prompts get answers of their own.
    """

    def __init__(self, options: GenerationOptions, number: int) -> None:
        self._options = options
        self._rng = np.random.default_rng([options.seed, number])

    def choose(self, logits: Array, seen: Sequence[int]) -> int:
        """A token id.

        Args:
            logits: float32[vocabulary].
            seen: The tokens of the prompt and of the answer so far.
        """
        options = self._options
        if options.repetition_penalty != 1:
            logits = _penalized(logits, seen, options.repetition_penalty)
        if options.temperature == 0:
            return int(logits.argmax())
        ids, probabilities = candidates(logits, options)
        # The last sum may fall short of 1 by a rounding error, and of the draw with it.
        place = np.searchsorted(np.cumsum(probabilities), self._rng.random(), side="right")
        return int(ids[min(int(place), len(ids) - 1)])


def candidates(logits: Array, options: GenerationOptions) -> tuple[Array, Array]:
    """What is drawn among.

    Args:
        logits: float32[vocabulary].
        options: With a temperature above 0.

    Returns:
        int64[candidates] of token ids, the likeliest first, and float64[candidates] of their
        probabilities, which sum to 1.
    """
    kept = np.arange(len(logits))
    if 0 < options.top_k < len(logits):
        kept = np.argpartition(logits, -options.top_k)[-options.top_k :]
    kept = kept[np.argsort(-logits[kept], kind="stable")]
    scaled = logits[kept].astype(np.float64) / options.temperature
    powers = np.exp(scaled - scaled[0])
    probabilities = powers / powers.sum()
    if options.top_p < 1:
        # The token that crosses the sum is the last one kept.
        count = int(np.searchsorted(np.cumsum(probabilities), options.top_p)) + 1
        kept, probabilities = kept[:count], probabilities[:count]
        probabilities = probabilities / probabilities.sum()
    return kept, probabilities


def _penalized(logits: Array, seen: Sequence[int], penalty: float) -> Array:
    """As Keskar et al. (2019), "CTRL: a conditional transformer language model", section 4.1."""
    ids = np.unique(np.asarray(seen, np.int64))
    logits = logits.copy()
    chosen = logits[ids]
    logits[ids] = np.where(chosen < 0, chosen * penalty, chosen / penalty)
    return logits
