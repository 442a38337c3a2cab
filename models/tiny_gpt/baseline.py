"""Perplexity of counting: how often tokens stand alone, and behind one another."""

import sys
from collections import Counter
from itertools import pairwise
from math import exp, log
from pathlib import Path

from toolkit.training import Data, load_recipe

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of the bigram that are tried on the validation split; the rest is the unigram's."""


class Counts:
    """How often tokens stand in texts, alone and in pairs.

    Args:
        texts: Token ids; the first one of a text is given.
        vocabulary: How many tokens there are; each counts once more than it was seen.
    """

    def __init__(self, texts: list[list[int]], vocabulary: int) -> None:
        self._alone = Counter(token for text in texts for token in text[1:])
        self._pairs = Counter(pair for text in texts for pair in pairwise(text))
        self._firsts = Counter(token for text in texts for token in text[:-1])
        self._total = sum(self._alone.values()) + vocabulary

    def perplexity(self, texts: list[list[int]], share: float) -> float:
        """Of a mix of both counts; `share` is the bigram's."""
        losses = [-log(self._chance(*pair, share)) for text in texts for pair in pairwise(text)]
        return exp(sum(losses) / len(losses))

    def _chance(self, before: int, token: int, share: float) -> float:
        single = (self._alone[token] + 1) / self._total
        seen = self._firsts[before]
        return share * self._pairs[before, token] / seen + (1 - share) * single if seen else single


def main() -> None:
    """Print both perplexities on the validation and the test split."""
    recipe = load_recipe(Path(__file__).with_name("recipe.py"))
    data: Data = recipe.load(recipe.settings)
    tokenizer = recipe.prepare(data.train, recipe.settings)
    splits = {
        name: [encoding.ids[:128] for encoding in tokenizer.encode_batch(list(split.items))]
        for name, split in vars(data).items()
    }
    counts = Counts(splits["train"], tokenizer.get_vocab_size())
    best = min(SHARES, key=lambda share: counts.perplexity(splits["validation"], share))
    for name in ("validation", "test"):
        unigram, bigram = (counts.perplexity(splits[name], share) for share in (0.0, best))
        sys.stdout.write(f"{name}: unigram {unigram:.1f}, bigram {bigram:.1f} (share {best})\n")


if __name__ == "__main__":
    main()
