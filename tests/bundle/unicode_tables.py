"""Which characters Python's tokenizers call letters, marks, punctuation and so on.

A browser has its own version of Unicode, and Rust's libraries have several. The apps in JavaScript
therefore carry the sets of characters as `tokenizers` has them, found by asking it about every one.
`python -m tests.bundle.unicode_tables` writes them again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

FILE = Path(__file__).parents[2] / "toolkit" / "bundle" / "apps" / "javascript" / "unicode.js"
BLOCK = 4096
EVERY = tuple(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
BLOCKS = [EVERY[start : start + BLOCK] for start in range(0, len(EVERY), BLOCK)]
END = "\u0298"  # a click: no normalizer changes it or makes it of another character
APART = "|"  # no letter, digit or mark joins it


def _bert(**steps: bool) -> normalizers.BertNormalizer:
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False}
    return normalizers.BertNormalizer(**{**off, "lowercase": False, **steps})


def _normalized(step: normalizers.Normalizer, before: str = "", after: str = "") -> Iterator[str]:
    """Of every character what the step makes of it between two texts."""
    for block in BLOCKS:
        text = "".join(f"{before}{c if c != END else 'x'}{after}{END}" for c in block)
        yield from step.normalize_str(text).split(END)[:-1]


def _changed(step: normalizers.Normalizer, into: str | None = None) -> Iterator[str]:
    for c, made in zip(EVERY, _normalized(step), strict=True):
        if c not in {END, made} and into in {None, made}:
            yield c


def _in_one_token(step: pre_tokenizers.PreTokenizer, before: str, after: str) -> Iterator[str]:
    """Characters that stand in one token with what is around them."""
    for c, start, spans in _split(step, before, after):
        whole = len(before + c + after)
        # byte level puts the space before a token into it
        if {(start, start + whole), (start - 1, start + whole)} & spans:
            yield c


def _alone(step: pre_tokenizers.PreTokenizer) -> Iterator[str]:
    """Characters that are a token of their own between two letters."""
    return (c for c, start, spans in _split(step, "a", "a") if (start + 1, start + 2) in spans)


def _split(
    step: pre_tokenizers.PreTokenizer, before: str, after: str
) -> Iterator[tuple[str, int, set[tuple[int, int]]]]:
    """Every character, where it with what is around it begins, and where the tokens lie."""
    for block in BLOCKS:
        words = [before + c + after for c in block]
        text = "".join(f"{word} {APART} " for word in words)
        spans = {span for _, span in step.pre_tokenize_str(text)}
        start = 0
        for c, word in zip(block, words, strict=True):
            yield c, start, spans
            start += len(word) + 3


def _reordered() -> Iterator[str]:
    """Marks that normalization may move: those with a combining class."""
    nfd = normalizers.NFD()
    for before, after in (("a", "\u0334"), ("a\u0345", "")):  # classes 0 and 1, 0 and 240
        alone = _normalized(nfd)
        for c, one, made in zip(EVERY, alone, _normalized(nfd, before, after), strict=True):
            if c != END and made != before + one + after:
                yield c


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "control": (
        "BertNormalizer's clean_text removes them.",
        lambda: _changed(_bert(clean_text=True), ""),
    ),
    "ideograph": (
        "BertNormalizer puts spaces around them.",
        lambda: _changed(_bert(handle_chinese_chars=True)),
    ),
    "nonspacing": (
        "BertNormalizer's strip_accents removes them.",
        lambda: _changed(_bert(strip_accents=True), ""),
    ),
    "combining": ("StripAccents removes them.", lambda: _changed(normalizers.StripAccents(), "")),
    "normalizable": (
        "NFD or NFKD changes or moves them; every other character stays as and where it is.",
        lambda: iter({*_changed(normalizers.NFKD()), *_reordered()}),
    ),
    "word": (
        "A word of the pre-tokenizer Whitespace has them.",
        lambda: _in_one_token(pre_tokenizers.Whitespace(), "a", "a"),
    ),
    "punctuation": (
        "BertPreTokenizer and Punctuation set them apart.",
        lambda: _alone(pre_tokenizers.Punctuation()),
    ),
    "digit": (
        "Digits sets them apart.",
        lambda: _alone(pre_tokenizers.Digits(individual_digits=True)),
    ),
    "letter": (
        "ByteLevel's letters.",
        lambda: _in_one_token(pre_tokenizers.ByteLevel(add_prefix_space=False), "a", ""),
    ),
    "number": (
        "ByteLevel's numbers.",
        lambda: _in_one_token(pre_tokenizers.ByteLevel(add_prefix_space=False), "1", ""),
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
            f'  "{_ranges(find())}",',
            ");",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
