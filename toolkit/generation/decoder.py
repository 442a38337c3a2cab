"""A decoder whose keys and values stay between its steps."""

import numpy as np

from toolkit.runtime import Session
from toolkit.tasks.prompt import DecoderFeeds
from toolkit.tasks.sequence import PAST, PRESENT
from toolkit.tensors import Array


class CachedDecoder:
    """A decoder-only model; see `toolkit.generation.Decoder`.

    Args:
        session: The graph: tokens and a cache to logits and the longer cache.
        feeds: Makes its feeds.
    """

    def __init__(self, session: Session, feeds: DecoderFeeds) -> None:
        self._session = session
        self._feeds = feeds
        self._mask: Array | None = None
        self._cache: dict[str, Array] = {}

    def step(self, ids: Array, mask: Array) -> Array:
        """float32[batch, vocabulary] from int64[batch, sequence] new tokens and their mask."""
        if self._mask is None:
            self._mask, self._cache = mask, self._feeds.empty(len(ids))
        else:
            self._mask = np.concatenate([self._mask, mask], axis=1)
        outputs = self._session.run(self._feeds.make(ids, self._mask, self._cache))
        self._cache = {name: outputs[name.replace(PAST, PRESENT, 1)] for name in self._feeds.past}
        logits: Array = outputs["logits"][:, -1]
        return logits
