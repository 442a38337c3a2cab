"""What a tokenizer does to each code point, asked of `tokenizers` itself.

Normalizers that look at one character at a time become maps, and canonical decomposition a map
with an order of combining marks: an app without `tokenizers` needs tables and no Unicode library.
"""

import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

HANGUL = range(0xAC00, 0xD7A4)
"""Syllables, whose decomposition is arithmetic: Unicode 15, section 3.12."""

SELF = 0xFFFFFFFF
"""In the string of a `Change`: the code point itself."""

_LOWEST, _HIGHEST = "\u0334", "\u0345"
"""Marks of the classes 1 and 240, between which all others are; known since Unicode 1.1."""

_SURROGATES = range(0xD800, 0xE000)
_EVERY = [*range(_SURROGATES.start), *range(_SURROGATES.stop, 0x110000)]
_AT_ONCE = 4096

Normalize = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of each code point of a range.

    Attributes:
        first: The first of them.
        last: The last of them.
        shift: What is added to it where it becomes one other.
        string: What it becomes otherwise; `SELF` stands for itself, and nothing for its removal.
    """

    first: int
    last: int
    shift: int = 0
    string: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Code points with one value, such as a combining class or a kind of character."""

    first: int
    last: int
    value: int | str


def changes(normalize: Normalize, *, without: Container[int] = ()) -> list[Change]:
    """What a normalizer makes of every code point that it does not leave alone.

    Args:
        normalize: Works character by character.
        without: Code points that are left out.
    """
    found: list[Change] = []
    for point, text in _changed(normalize, _EVERY):
        if point in without:
            continue
        if len(text) == 1:
            change = Change(first=point, last=point, shift=ord(text) - point)
        else:
            string = tuple(SELF if ord(one) == point else ord(one) for one in text)
            change = Change(first=point, last=point, string=string)
        before = found[-1] if found else None
        if before is not None and (before.last, before.shift, before.string) == (
            point - 1,
            change.shift,
            change.string,
        ):
            change = Change(
                first=before.first, last=point, shift=change.shift, string=change.string
            )
            found.pop()
        found.append(change)
    return found


def _changed(normalize: Normalize, points: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The code points that change, in order, each with what it becomes."""
    for start in range(0, len(points), _AT_ONCE):
        part = points[start : start + _AT_ONCE]
        text = "".join(map(chr, part))
        if normalize(text) == text:
            continue
        if len(part) == 1:
            yield part[0], normalize(text)
            continue
        for few in range(0, len(part), 32):
            some = "".join(map(chr, part[few : few + 32]))
            made = normalize(some)
            if made == "":
                yield from ((ord(one), "") for one in some)
            elif made != some:
                each = ((one, normalize(one)) for one in some)
                yield from ((ord(one), made) for one, made in each if made != one)


def hangul_is_arithmetic(decompose: Normalize) -> bool:
    """Whether every syllable decomposes as Unicode computes it."""
    for point in HANGUL:
        index = point - HANGUL.start
        jamo = [0x1100 + index // 588, 0x1161 + index % 588 // 28]
        if index % 28:
            jamo.append(0x11A7 + index % 28)
        if decompose(chr(point)) != "".join(map(chr, jamo)):
            return False
    return True


def combining_classes(decompose: Normalize) -> list[Marked]:
    """Canonical combining classes as this decomposition sorts by them, where they are not 0.

    Python's own table gives one mark of each class among those that the decomposition sorts; where
    each other mark stands among them, the decomposition says, since its Unicode may be older or
    newer than Python's.

    Args:
        decompose: NFD or NFKD.
    """
    known = list(_reordered(decompose))
    marks: dict[int, str] = {}
    for point in known:
        marks.setdefault(unicodedata.combining(chr(point)), chr(point))
    classes = sorted(marks)
    found: list[Marked] = []
    for point in known:
        one = chr(point)
        value = next(
            value
            for value in classes
            if decompose(one + marks[value]) == one + marks[value]
            and decompose(marks[value] + one) == marks[value] + one
        )
        if found and (found[-1].last, found[-1].value) == (point - 1, value):
            found.append(Marked(first=found.pop().first, last=point, value=value))
        else:
            found.append(Marked(first=point, last=point, value=value))
    return found


def _reordered(decompose: Normalize) -> Iterator[int]:
    """Code points that decompose to themselves and are sorted among marks."""

    def around(point: int) -> tuple[str, str]:
        return f"a{_HIGHEST}{chr(point)}", f"a{chr(point)}{_LOWEST}"

    def moves(points: Sequence[int]) -> bool:
        text = "".join("".join(around(point)) for point in points)
        return decompose(text) != text

    for start in range(0, len(_EVERY), _AT_ONCE):
        part = _EVERY[start : start + _AT_ONCE]
        if not moves(part):
            continue
        for few in range(0, len(part), 32):
            some = part[few : few + 32]
            if not moves(some):
                continue
            for point in some:
                if decompose(chr(point)) == chr(point) and moves([point]):
                    yield point


def kinds(split: Callable[[str], list[str]]) -> list[Marked]:
    """How a pre-tokenizer takes each code point that is not part of a word.

    A "space" ends a word and is dropped; "alone" is a word by itself; a "symbol" makes words with
    the symbols beside it.

    Args:
        split: The words of a text, which depend on the kind of each character alone.
    """
    found: list[Marked] = []
    parts = (_EVERY[start : start + _AT_ONCE] for start in range(0, len(_EVERY), _AT_ONCE))
    for one in chain.from_iterable(_kinds(split, part) for part in parts):
        before = found[-1] if found else None
        if before is not None and (before.last, before.value) == (one.first - 1, one.value):
            found[-1] = Marked(first=before.first, last=one.last, value=one.value)
        else:
            found.append(one)
    return found


def _kinds(split: Callable[[str], list[str]], points: Sequence[int]) -> Iterator[Marked]:
    # Twice, between letters: beside a symbol, a letter that stands alone looks like one itself.
    letters = [chr(point) for point in points]
    words = split("".join(f"a{one}{one}" for one in letters) + "a")
    if len(words) == 1:
        return
    if set(words) == {"a"}:
        yield Marked(first=points[0], last=points[-1], value="space")
    elif words == [*chain.from_iterable(("a", one, one) for one in letters), "a"]:
        yield Marked(first=points[0], last=points[-1], value="alone")
    elif words == [*chain.from_iterable(("a", one * 2) for one in letters), "a"]:
        yield Marked(first=points[0], last=points[-1], value="symbol")
    else:
        assert len(points) > 1, f"{points[0]:#x} makes {words}"
        middle = len(points) // 2
        yield from _kinds(split, points[:middle])
        yield from _kinds(split, points[middle:])
