from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from toolkit.errors import InputError, ToolkitWarning
from toolkit.generation import Answer, Ending, GenerationOptions, generate
from toolkit.generation.loop import check_room
from toolkit.tensors import Array

END = 256
"""The token behind those of the 256 bytes."""


class Script:
    """A decoder that knows what it will say: row by row, one token after another."""

    def __init__(self, *rows: Sequence[int]) -> None:
        self.rows = rows
        self.asked: list[tuple[Array, Array]] = []

    def step(self, ids: Array, mask: Array) -> Array:
        logits = np.zeros((len(ids), END + 1), np.float32)
        for row, tokens in enumerate(self.rows):
            logits[row, tokens[min(len(self.asked), len(tokens) - 1)]] = 1.0
        self.asked.append((ids, mask))
        return logits


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def told(
    tokenizer: Tokenizer,
    *texts: str,
    prompts: Sequence[str] = (),
    room: int = 99,
    **options: object,
) -> tuple[Script, list[Answer], list[list[str]]]:
    """What comes of a decoder that wants to say these texts, each with the end behind it."""
    script = Script(*([*tokenizer.encode(text).ids, END] for text in texts))
    answers = [
        Answer(
            tokenizer.encode(prompt).ids,
            tokenizer=tokenizer,
            options=GenerationOptions(**options),  # type: ignore[arg-type]  # by name
            ending=Ending(end_ids=(END,), room=room),
        )
        for prompt in prompts or ["p"] * len(texts)
    ]
    return script, answers, list(generate(script, answers, pad_id=0))


def test_the_end_token_ends_an_answer_and_is_no_part_of_it(tokenizer: Tokenizer) -> None:
    _, (answer,), pieces = told(tokenizer, "Paris.")
    assert answer.text == "Paris." == "".join(piece for (piece,) in pieces)
    assert answer.result() | {"tokens_per_s": 0.0} == {
        "text": "Paris.",
        "tokens": 6,
        "tokens_per_s": 0.0,
        "ended_by": "end",
    }
    assert answer.result()["tokens_per_s"] > 0


def test_characters_come_whole(tokenizer: Tokenizer) -> None:
    _, _, pieces = told(tokenizer, "né €5")
    given_out = [piece for (piece,) in pieces if piece]
    assert given_out == ["n", "é", " ", "€", "5"]


def test_a_stop_string_of_several_tokens_is_no_part_of_the_answer(tokenizer: Tokenizer) -> None:
    script, (answer,), pieces = told(tokenizer, "Paris.\nQ: And Italy?", stop=("\nQ:",))
    assert answer.text == "Paris." == "".join(piece for (piece,) in pieces)
    assert answer.ended_by == "stop"
    assert len(script.asked) == len("Paris.\nQ:")


def test_the_limit_ends_an_answer_and_gives_out_what_was_held_back(tokenizer: Tokenizer) -> None:
    _, (answer,), _ = told(tokenizer, "abcdef", max_new_tokens=3, stop=("cX",))
    assert (answer.text, answer.ended_by) == ("abc", "length")


def test_an_answer_has_the_room_that_its_prompt_leaves(tokenizer: Tokenizer) -> None:
    with pytest.warns(ToolkitWarning, match=r"answer 0 was cut after 4 of 128 tokens: .* for 9"):
        _, (answer,), _ = told(tokenizer, "abcdef", prompts=["12345"], room=9)
    assert (answer.text, answer.ended_by) == ("abcd", "length")


def test_an_answer_that_fits_ends_without_a_warning(tokenizer: Tokenizer) -> None:
    _, (answer,), _ = told(tokenizer, "abcdef", prompts=["12345"], room=9, max_new_tokens=4)
    assert (answer.text, answer.ended_by) == ("abcd", "length")
    _, (answer,), _ = told(tokenizer, "abc", prompts=["12345"], room=9)
    assert (answer.text, answer.ended_by) == ("abc", "end")


def test_a_model_without_the_positions_for_an_answer_is_refused() -> None:
    check_room(5, 1, most=4, room=9)
    with pytest.raises(InputError, match="answer 2 may have 5 tokens") as caught:
        check_room(5, 2, most=5, room=9)
    assert caught.value.fix.startswith("--max-new-tokens 4,")


def test_prompts_are_padded_on_the_left_and_ended_rows_masked(tokenizer: Tokenizer) -> None:
    script, answers, _ = told(tokenizer, "a", "bcd", prompts=["xy", "z"])
    assert [answer.text for answer in answers] == ["a", "bcd"]
    ids, mask = script.asked[0]
    assert mask.tolist() == [[1, 1], [0, 1]]
    assert ids[1].tolist() == [0, *tokenizer.encode("z").ids]
    assert [given_mask.tolist() for _, given_mask in script.asked[1:]] == [
        [[1], [1]],
        [[0], [1]],
        [[0], [1]],
    ]


def test_a_rule_changes_what_is_chosen(tokenizer: Tokenizer) -> None:
    (banned,) = tokenizer.encode("a").ids

    def rule(logits: Array, tokens: Sequence[int]) -> Array:
        changed = logits.copy()
        changed[banned] = -np.inf
        changed[END] += len(tokens) * 9
        return changed

    answer = Answer(
        [1],
        tokenizer=tokenizer,
        options=GenerationOptions(),
        ending=Ending(end_ids=(END,), room=9),
        rules=[rule],
    )
    list(generate(Script([banned]), [answer], pad_id=0))
    assert banned not in answer.tokens
    assert answer.ended_by == "end"
