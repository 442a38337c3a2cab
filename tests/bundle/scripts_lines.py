"""Lines of text in many scripts, as hard for a tokenizer as they get; seeded: always the same."""

import random
from collections.abc import Callable
from pathlib import Path

WORDS = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()

SPACES = " \u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\t\r\x0b\x0c\x85"
CONTROLS = (
    "\x00\x01\x07\x08\x1b\x1c\x1f\x7f\x80\x9f\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u202e"
    "\u2060\ufeff\ufffd\ufffe\uffff\ue000\uf8ff\U000e0001\U000e0041\U000f0000\U0010ffff"
)
BLOCKS = (
    (0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x370, 0x400), (0x400, 0x530), (0x530, 0x600),
    (0x600, 0x780), (0x780, 0x900), (0x900, 0xE00), (0xE00, 0x1000), (0x1000, 0x1200),
    (0x1200, 0x1800), (0x1800, 0x1E00), (0x1E00, 0x2000), (0x2000, 0x2600), (0x2600, 0x2E00),
    (0x2E80, 0x3100), (0x3100, 0x4E00), (0x4E00, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD7A4),
    (0xD7B0, 0xD800), (0xF900, 0xFB00), (0xFB00, 0xFE00), (0xFE00, 0x10000), (0x10000, 0x11000),
    (0x11000, 0x12000), (0x1B000, 0x1B300), (0x1D100, 0x1D800), (0x1E000, 0x1F000),
    (0x1F000, 0x1FB00), (0x20000, 0x20200), (0x2F800, 0x2FA20), (0xE0000, 0xE0200),
)  # fmt: skip
MARKS = tuple(
    chr(point)
    for first, last in (
        (0x300, 0x370), (0x483, 0x488), (0x591, 0x5BE), (0x610, 0x61B), (0x64B, 0x660),
        (0x93C, 0x93D), (0x94D, 0x94E), (0xE38, 0xE3B), (0xE47, 0xE4C), (0xF71, 0xF76),
        (0x1AB0, 0x1AC0), (0x1DC0, 0x1E00), (0x20D0, 0x20F1), (0x302A, 0x3030), (0x3099, 0x309B),
        (0xFE20, 0xFE30), (0x1D165, 0x1D16A), (0x1D16D, 0x1D173), (0x1E8D0, 0x1E8D7),
    )
    for point in range(first, last)
)  # fmt: skip


def lines(count: int = 5000, seed: int = 7) -> list[str]:
    """Lines without a line feed in them; some are blank, a few are very long."""
    choose = random.Random(seed)  # noqa: S311 - nothing secret
    makers: tuple[tuple[Callable[[random.Random], str], int], ...] = (
        (_words, 40), (_one_block, 20), (_any_blocks, 10), (_marked, 12), (_controlled, 8),
        (_long_word, 2), (_glued, 6), (_blank, 1), (_cased, 4),
    )  # fmt: skip
    kinds, weights = zip(*makers, strict=True)
    made = [choose.choices(kinds, weights)[0](choose) for _ in range(count)]
    return [line.replace("\n", " ") for line in made]


def _point(choose: random.Random, first: int, last: int) -> str:
    return chr(choose.randrange(first, last))


def _words(choose: random.Random) -> str:
    return " ".join(choose.choices(WORDS, k=choose.randint(1, 14)))


def _glued(choose: random.Random) -> str:
    return "".join(choose.choices(WORDS, k=choose.randint(2, 8)))


def _one_block(choose: random.Random) -> str:
    block = choose.choice(BLOCKS)
    return "".join(
        " " if choose.random() < 0.15 else _point(choose, *block)
        for _ in range(choose.randint(1, 40))
    )


def _any_blocks(choose: random.Random) -> str:
    return "".join(_point(choose, *choose.choice(BLOCKS)) for _ in range(choose.randint(1, 40)))


def _marked(choose: random.Random) -> str:
    """Letters with marks of many combining classes in any order."""
    letters = "aeoI\u0130k\u03a9\u0439\u0915\ud55c\u1100\u1161\u3042\u6f22\u0e01\U0001d158\u0627"
    return "".join(
        choose.choice(letters) + "".join(choose.choices(MARKS, k=choose.randint(0, 6)))
        for _ in range(choose.randint(1, 12))
    )


def _controlled(choose: random.Random) -> str:
    return "".join(
        word + choose.choice(choose.choice((SPACES, CONTROLS)))
        for word in choose.choices(WORDS, k=choose.randint(1, 8))
    )


def _long_word(choose: random.Random) -> str:
    """Around the 100 characters at which WordPiece gives up, and far beyond."""
    length = choose.choice((98, 99, 100, 101, 102, 150, 3000))
    letters = choose.choice(("a", "ab", "unaffable", "é", "e\u0301", "ж", "한", "𐐀", "\u0301"))
    return (letters * length)[:length] + choose.choice(("", " end", "."))


def _blank(choose: random.Random) -> str:
    return "".join(choose.choices(SPACES, k=choose.randint(0, 5)))


def _cased(choose: random.Random) -> str:
    word = choose.choice(WORDS)
    return f"{word.upper()} {word.lower()} {word.title()} {word.swapcase()}"
