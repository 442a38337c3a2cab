import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from toolkit.generation.text import Detokenizer, StopStrings


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    """One token a byte, as byte-level BPE has them before any merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def metaspace_tokenizer() -> Tokenizer:
    vocabulary = {"<unk>": 0, "▁is": 1, "▁Paris": 2, "▁The": 3, "s": 4}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))  # noqa: S106 - no password
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def pieces(tokenizer: Tokenizer, ids: Sequence[int], prompt: Sequence[int] = ()) -> list[str]:
    detokenizer = Detokenizer(tokenizer, prompt)
    return [*map(detokenizer.take, ids), detokenizer.rest()]


def test_a_character_of_several_tokens_comes_whole(byte_tokenizer: Tokenizer) -> None:
    ids = byte_tokenizer.encode("aé€🎬z").ids
    assert len(ids) == 1 + 2 + 3 + 4 + 1
    assert [piece for piece in pieces(byte_tokenizer, ids) if piece] == ["a", "é", "€", "🎬", "z"]


@given(text=st.text(min_size=1, max_size=40))
def test_pieces_add_up_to_the_text(byte_tokenizer: Tokenizer, text: str) -> None:
    found = pieces(byte_tokenizer, byte_tokenizer.encode(text).ids)
    assert "".join(found) == text


def test_half_a_character_at_the_end_is_a_replacement_character(byte_tokenizer: Tokenizer) -> None:
    ids = byte_tokenizer.encode("ok €").ids
    assert pieces(byte_tokenizer, ids[:-1]) == ["o", "k", " ", "", "", "\ufffd"]


def test_bytes_that_are_no_text_do_not_hold_back_what_follows(byte_tokenizer: Tokenizer) -> None:
    lead = byte_tokenizer.encode("é").ids[0]
    detokenizer = Detokenizer(byte_tokenizer)
    given_out = "".join(detokenizer.take(lead) for _ in range(20))
    assert len(given_out) >= 12
    assert set(given_out) == {"\ufffd"}
    rest = "".join(map(detokenizer.take, byte_tokenizer.encode("€ok").ids))
    assert rest.endswith("€ok")


def test_the_first_word_keeps_its_space() -> None:
    assert pieces(metaspace_tokenizer(), [1, 2, 4], prompt=[3]) == [" is", " Paris", "s", ""]


def stopped(stops: Sequence[str], given_pieces: Sequence[str]) -> tuple[list[str], bool]:
    stop = StopStrings(stops)
    out = [stop.take(piece) for piece in given_pieces]
    return [*out, stop.rest()], stop.stopped


def test_a_stop_string_across_pieces_is_never_given_out() -> None:
    assert stopped(["\n\nQ:"], ["Yes.", "\n", "\nQ", ": next"]) == (["Yes.", "", "", "", ""], True)


def test_what_only_began_like_a_stop_string_is_given_out() -> None:
    assert stopped(["END"], ["an E", "N", "D", "!"])[0] == ["an ", "", "", "", ""]
    assert stopped(["END"], ["an E", "Nough", " EN"])[0] == ["an ", "ENough", " ", "EN"]


def test_the_first_of_several_stop_strings_counts() -> None:
    assert stopped(["b", "abc"], ["xa", "bc"]) == (["x", "", ""], True)


@given(
    text=st.text(alphabet="ab", max_size=12),
    stop=st.text(alphabet="ab", min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 12), max_size=4),
)
def test_cutting_does_not_depend_on_the_pieces(text: str, stop: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    out, found = stopped([stop], [text[a:b] for a, b in itertools.pairwise(bounds)])
    assert "".join(out) == text.split(stop, maxsplit=1)[0]
    assert found == (stop in text)
