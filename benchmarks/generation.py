"""`python -m benchmarks.generation PACKAGE`: tokens a second with the cache, and without.

Every answer has as many tokens as asked for: the end is not heeded. Answers of two lengths, and
with and without the cache, are made by turns, so that a busy machine disturbs all alike.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from toolkit.generation.decoder import CachedDecoder
from toolkit.generation.loop import Decoder
from toolkit.generation.model import TextGenerator
from toolkit.inference import load
from toolkit.machine import this_machine
from toolkit.runtime import Session, SessionOptions
from toolkit.tasks.prompt import DecoderFeeds
from toolkit.tensors import Array

SHORT, LONG = 64, 512


class Forgetful:
    """The same decoder without a cache: every step reads the whole text again."""

    def __init__(self, session: Session, feeds: DecoderFeeds) -> None:
        self._session, self._feeds = session, feeds
        self._ids = self._mask = np.empty((1, 0), np.int64)

    def step(self, ids: Array, mask: Array) -> Array:
        """float32[batch, vocabulary], as `CachedDecoder.step`."""
        self._ids = np.concatenate([self._ids, ids], axis=1)
        self._mask = np.concatenate([self._mask, mask], axis=1)
        fed = self._feeds.make(self._ids, self._mask, self._feeds.empty(1))
        logits: Array = self._session.run(fed)["logits"][:, -1]
        return logits


def seconds(make: Callable[[], Decoder], count: int) -> float:
    """Seconds for `count` tokens, the likeliest each time, behind a prompt of one."""
    decoder, ids = make(), np.array([[1]])
    start = time.perf_counter()
    for _ in range(count):
        ids = decoder.step(ids, np.ones_like(ids)).argmax(axis=1)[:, None].astype(np.int64)
    return time.perf_counter() - start


def main() -> None:
    """Measure one package and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("--variant")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7, help="times that each is measured")
    parser.add_argument("--cached-only", action="store_true", help="for large models")
    asked = parser.parse_args()
    model = load(
        asked.package, variant=asked.variant, options=SessionOptions(threads=asked.threads)
    )
    assert isinstance(model, TextGenerator)
    feeds = DecoderFeeds(model.session.inputs)
    ways: dict[str, Callable[[], Decoder]] = {"cache": lambda: CachedDecoder(model.session, feeds)}
    if not asked.cached_only:
        ways["no cache"] = lambda: Forgetful(model.session, feeds)
    times: dict[tuple[str, int], list[float]] = {(w, n): [] for w in ways for n in (SHORT, LONG)}
    for make in ways.values():
        seconds(make, 8)  # warm-up
    for _ in range(asked.rounds):
        for (way, count), found in times.items():
            found.append(seconds(ways[way], count))
    print(f"{asked.package.stem} {model.variant}, {asked.threads} threads; {asked.rounds} rounds")
    print(this_machine().as_line())
    print(
        f"\n| | tokens/s at {SHORT} | tokens/s at {LONG} | time at {LONG} over {SHORT} (ratios) |"
    )
    print("| --- | --- | --- | --- |")
    for way in ways:
        short, long = np.array(times[way, SHORT]), np.array(times[way, LONG])
        ratios = long / short
        print(
            f"| {way} | {SHORT / np.median(short):.1f} | {LONG / np.median(long):.1f} | "
            f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f}) |"
        )
    if "no cache" in ways:
        both = np.array(times["no cache", LONG]) / np.array(times["cache", LONG])
        print(
            f"\nWithout the cache, {LONG} tokens take {np.median(both):.1f} times as long "
            f"({both.min():.1f} to {both.max():.1f})."
        )


if __name__ == "__main__":
    main()
