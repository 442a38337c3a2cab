"""Text from tokens while they come: whole characters, and nothing of a stop string."""

from collections.abc import Sequence
from typing import Protocol

_CONTEXT = 6
"""Tokens of the prompt that are decoded along: whether a word begins with a space depends on what
stands before it."""

_PATIENCE = 8
"""Tokens without a whole character after which what is there is given out. A character has at most
four bytes, and a token at least one: only a text that is no UTF-8 comes this far."""

_HALF = "\ufffd"


class Decodes(Protocol):
    """The part of `tokenizers.Tokenizer` that makes text."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of some tokens."""


class Detokenizer:
    """Tokens to pieces of text, whose sum is the text of all tokens.

    A token may end in the middle of a character: the piece then comes with the token that
    completes it.

    Args:
        tokenizer: Makes text of tokens.
        prompt: The tokens before the first one.
    """

    def __init__(self, tokenizer: Decodes, prompt: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt[-_CONTEXT:])
        self._known = 0  # tokens before this one only give context
        self._told = len(self._ids)  # tokens before this one were given out

    def take(self, token: int) -> str:
        """The text that this token completes; empty where it completes nothing."""
        self._ids.append(token)
        text = self._new(len(self._ids))
        if not text.endswith(_HALF):
            return self._give(text, len(self._ids))
        if len(self._ids) - self._told < _PATIENCE:
            return ""
        # The last three tokens may still be the beginning of a character.
        ends = [len(self._ids) - back for back in (1, 2, 3)]
        end = next((end for end in ends if not self._new(end).endswith(_HALF)), ends[-1])
        return self._give(self._new(end), end)

    def rest(self) -> str:
        """What was held back, at the end of the answer: half a character becomes U+FFFD."""
        return self._give(self._new(len(self._ids)), len(self._ids))

    def _new(self, end: int) -> str:
        before = self._tokenizer.decode(self._ids[self._known : self._told])
        return self._tokenizer.decode(self._ids[self._known : end])[len(before) :]

    def _give(self, text: str, end: int) -> str:
        if text:
            self._known, self._told = self._told, end
        return text


class StopStrings:
    """Holds back what may become a stop string, and cuts at the first one.

    Args:
        stops: The texts that end an answer.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def take(self, piece: str) -> str:
        """What is certain to belong to the answer; nothing more once it is stopped."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [place for place in map(text.find, self._stops) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """What was held back and became no stop string."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of a text with which a stop string begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
