"""Which characters Python's tokenizers call letters, marks, punctuation and so on.

A browser has its own version of Unicode, and Rust's libraries have several. The apps in JavaScript
therefore carry the sets of characters as `tokenizers` has them, found by asking it about every one.
`python -m tests.bundle.unicode_tables` writes them again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

FILE = Path(__file__).parents[2] / "toolkit" / "bundle" / "apps" / "javascript" / "unicode.js"
BLOCK = 4096
EVERY = tuple(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
Characters = Sequence[str]
END = "\u0298"  # a click: no normalizer changes it or makes it of another character
APART = "|"  # no letter, digit or mark joins it


def _bert(**steps: bool) -> normalizers.BertNormalizer:
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False}
    return normalizers.BertNormalizer(**{**off, "lowercase": False, **steps})


def _blocks(characters: Characters) -> Iterator[Characters]:
    return (characters[start : start + BLOCK] for start in range(0, len(characters), BLOCK))


def _normalized(
    characters: Characters, step: normalizers.Normalizer, before: str = "", after: str = ""
) -> Iterator[str]:
    """Of every character what the step makes of it between two texts."""
    for block in _blocks(characters):
        text = "".join(f"{before}{c if c != END else 'x'}{after}{END}" for c in block)
        yield from step.normalize_str(text).split(END)[:-1]


def _changed(
    characters: Characters, step: normalizers.Normalizer, into: str | None = None
) -> Iterator[str]:
    for c, made in zip(characters, _normalized(characters, step), strict=True):
        if c not in {END, made} and into in {None, made}:
            yield c


def _in_one_token(
    characters: Characters, step: pre_tokenizers.PreTokenizer, before: str, after: str
) -> Iterator[str]:
    """Characters that stand in one token with what is around them."""
    for c, start, spans in _split(characters, step, before, after):
        whole = len(before + c + after)
        # byte level puts the space before a token into it
        if {(start, start + whole), (start - 1, start + whole)} & spans:
            yield c


def _alone(characters: Characters, step: pre_tokenizers.PreTokenizer) -> Iterator[str]:
    """Characters that are a token of their own between two letters."""
    split = _split(characters, step, "a", "a")
    return (c for c, start, spans in split if (start + 1, start + 2) in spans)


def _split(
    characters: Characters, step: pre_tokenizers.PreTokenizer, before: str, after: str
) -> Iterator[tuple[str, int, set[tuple[int, int]]]]:
    """Every character, where it with what is around it begins, and where the tokens lie."""
    for block in _blocks(characters):
        words = [before + c + after for c in block]
        text = "".join(f"{word} {APART} " for word in words)
        spans = {span for _, span in step.pre_tokenize_str(text)}
        start = 0
        for c, word in zip(block, words, strict=True):
            yield c, start, spans
            start += len(word) + 3


def _reordered(characters: Characters) -> Iterator[str]:
    """Marks that normalization may move: those with a combining class."""
    nfd = normalizers.NFD()
    for before, after in (("a", "\u0334"), ("a\u0345", "")):  # classes 0 and 1, 0 and 240
        alone = _normalized(characters, nfd)
        between = _normalized(characters, nfd, before, after)
        for c, one, made in zip(characters, alone, between, strict=True):
            if c != END and made != before + one + after:
                yield c


TABLES: dict[str, tuple[str, Callable[[Characters], Iterator[str]]]] = {
    "control": (
        "BertNormalizer's clean_text removes them.",
        lambda some: _changed(some, _bert(clean_text=True), ""),
    ),
    "ideograph": (
        "BertNormalizer puts spaces around them.",
        lambda some: _changed(some, _bert(handle_chinese_chars=True)),
    ),
    "nonspacing": (
        "BertNormalizer's strip_accents removes them.",
        lambda some: _changed(some, _bert(strip_accents=True), ""),
    ),
    "combining": (
        "StripAccents removes them.",
        lambda some: _changed(some, normalizers.StripAccents(), ""),
    ),
    "normalizable": (
        "NFD or NFKD changes or moves them; every other character stays as and where it is.",
        lambda some: iter({*_changed(some, normalizers.NFKD()), *_reordered(some)}),
    ),
    "word": (
        "A word of the pre-tokenizer Whitespace has them.",
        lambda some: _in_one_token(some, pre_tokenizers.Whitespace(), "a", "a"),
    ),
    "punctuation": (
        "BertPreTokenizer and Punctuation set them apart.",
        lambda some: _alone(some, pre_tokenizers.Punctuation()),
    ),
    "digit": (
        "Digits sets them apart.",
        lambda some: _alone(some, pre_tokenizers.Digits(individual_digits=True)),
    ),
    "letter": (
        "ByteLevel's letters.",
        lambda some: _in_one_token(some, pre_tokenizers.ByteLevel(add_prefix_space=False), "a", ""),
    ),
    "number": (
        "ByteLevel's numbers.",
        lambda some: _in_one_token(some, pre_tokenizers.ByteLevel(add_prefix_space=False), "1", ""),
    ),
}


def _ranges(characters: Iterator[str]) -> str:
    """Gap and length of each run of code points, in base 36."""
    runs: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    written, end = [], -1
    for first, last in runs:
        gap, length = _base36(first - end - 1), _base36(last - first)
        written.append(gap if length == "0" else f"{gap}.{length}")
        end = last
    return " ".join(written)


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return digits[number] if number < 36 else _base36(number // 36) + digits[number % 36]


def written() -> str:
    """The file's text."""
    lines = [
        f"// Sets of characters as Python's tokenizers {tokenizers.__version__} has them, since a",
        "// browser's own Unicode differs. Written by `python -m tests.bundle.unicode_tables`:",
        "// gap and length of each run of code points, in base 36.",
        "",
        "function characters(runs) {",
        '  let source = "";',
        "  let next = 0;",
        '  for (const run of runs.split(" ")) {',
        '    const [gap, length] = run.split(".");',
        "    const first = next + Number.parseInt(gap, 36);",
        '    const last = first + Number.parseInt(length ?? "0", 36);',
        "    source += `\\\\u{${first.toString(16)}}-\\\\u{${last.toString(16)}}`;",
        "    next = last + 1;",
        "  }",
        "  return source;",
        "}",
    ]
    for name, (about, find) in TABLES.items():
        lines += [
            "",
            f"/** {about} */",
            f"export const {name} = characters(",
            f'  "{_ranges(find(EVERY))}",',
            ");",
        ]
    return "\n".join(lines) + "\n"


def stored_tables() -> dict[str, set[str]]:
    """The sets in the file."""
    found = re.findall(r'const (\w+) = characters\(\s*"([^"]*)"', FILE.read_text(encoding="utf-8"))
    tables: dict[str, set[str]] = {}
    for name, runs in found:
        tables[name] = set()
        start = 0
        for gap, _, length in (run.partition(".") for run in runs.split(" ")):
            first = start + int(gap, 36)
            start = first + int(length or "0", 36) + 1
            tables[name].update(chr(code) for code in range(first, start))
    return tables


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
