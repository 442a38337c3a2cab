"""How an answer is made, as a user chooses it."""

import math
from dataclasses import dataclass

from toolkit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How the next tokens are chosen, and when to stop.

    Attributes:
        max_new_tokens: Most tokens of an answer.
        temperature: 0 takes the likeliest token each time ("greedy"); above, tokens are drawn, and
            the logits are divided by it first.
        top_k: Draw among this many likeliest tokens; 0 for all.
        top_p: Draw among the fewest tokens whose probabilities reach this sum.
        repetition_penalty: Divides the positive logits of tokens that stand in the prompt or the
            answer, and multiplies the negative ones; 1 for none.
        stop: Texts that end an answer; they are no part of it.
        seed: Of the draws. An answer depends on the seed, its place among the prompts of the call,
            and its prompt, not on what else is in its batch.
        chat: Put the prompt into the form in which the model was trained on conversations.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    chat: bool = False

    def __post_init__(self) -> None:
        for value, name, right, expected in (
            (self.max_new_tokens, "max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            (
                self.temperature,
                "temperature",
                math.isfinite(self.temperature) and self.temperature >= 0,
                "0 for the likeliest token each time, or more",
            ),
            (self.top_k, "top_k", self.top_k >= 0, "0 for all tokens, or more"),
            (self.top_p, "top_p", 0 < self.top_p <= 1, "above 0, at most 1"),
            (
                self.repetition_penalty,
                "repetition_penalty",
                math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0,
                "a number above 0; 1 for none",
            ),
            (self.stop, "stop", all(self.stop), "texts that are not empty"),
            (self.seed, "seed", self.seed >= 0, "0 or more"),
        ):
            if not right:
                raise InputError(f"{name} is {value!r}", expected=expected)
        if self.temperature == 0 and (self.top_k or self.top_p < 1):
            name = "top_k" if self.top_k else "top_p"
            raise InputError(
                f"{name} chooses what is drawn among, but with temperature 0 nothing is drawn",
                expected="a temperature above 0 beside it",
                fix="--temperature 0.8",
            )
