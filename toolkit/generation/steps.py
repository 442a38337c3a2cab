"""The decoder of an encoder-decoder, step by step."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.errors import InputError
from toolkit.runtime import Session
from toolkit.tasks.sequence import CROSS, ENCODER_MASK, PAST, PRESENT, TOKENS
from toolkit.tensors import Array, TensorSpec


class StepDecoder:
    """A decoder that attends to what an encoder gave; see `toolkit.generation.Decoder`.

    Its rows have no padding: every answer begins with as many tokens as the others.

    Args:
        session: The decoder's graph.
        encoded: What its steps have in common: the encoder's keys and values, and its mask.
    """

    def __init__(self, session: Session, encoded: Mapping[str, Array]) -> None:
        self._session = session
        self._encoded = encoded
        batch = len(next(iter(encoded.values())))
        self._cache: dict[str, Array] = {
            # batch, heads, past, width of a head
            spec.name: np.zeros((batch, int(spec.shape[1]), 0, int(spec.shape[3])), np.float32)
            for spec in session.inputs
            if spec.name.startswith(f"{PAST}.")
        }

    def step(self, ids: Array, mask: Array) -> Array:  # noqa: ARG002 - rows have no padding
        """float32[batch, vocabulary] from int64[batch, sequence] new tokens."""
        outputs = self._session.run({TOKENS: ids, **self._cache, **self._encoded})
        self._cache = {name: outputs[name.replace(PAST, PRESENT, 1)] for name in self._cache}
        logits: Array = outputs["logits"][:, -1]
        return logits


def crossed(outputs: Mapping[str, Array], mask: Array | None) -> dict[str, Array]:
    """What every step of the decoder is fed of an encoder's outputs, and the input's mask."""
    fed = {name: value for name, value in outputs.items() if name.startswith(f"{CROSS}.")}
    return fed if mask is None else {ENCODER_MASK: mask, **fed}


def check_decoder(inputs: Sequence[TensorSpec], encoder: Sequence[TensorSpec]) -> None:
    """Whether a decoder takes what an encoder gives.

    Args:
        inputs: The decoder's inputs.
        encoder: The encoder's outputs.

    Raises:
        InputError: It takes something else.
    """
    given = {TOKENS, ENCODER_MASK, *(spec.name for spec in encoder)}
    unknown = [
        spec.name
        for spec in inputs
        if spec.name not in given and not spec.name.startswith(f"{PAST}.")
    ]
    if unknown:
        raise InputError(
            f"the decoder takes {', '.join(unknown)}, which the encoder does not give",
            expected=f"{', '.join(sorted(given))}, and {PAST}.N.key and .value",
            fix="export the package again",
        )
