"""Texts in many scripts, with whatever makes tokenizers differ, from a seed."""

# ruff: noqa: RUF001 - characters that look like others are what it is about

import random
from collections.abc import Sequence

RANGES = {
    "ascii": (0x20, 0x7E),
    "latin": (0xC0, 0x24F),
    "phonetic": (0x250, 0x2FF),
    "greek": (0x370, 0x3FF),
    "greek with accents": (0x1F00, 0x1FFF),
    "cyrillic": (0x400, 0x52F),
    "armenian and hebrew": (0x531, 0x5F4),
    "arabic": (0x600, 0x6FF),
    "arabic forms": (0xFB50, 0xFDFF),
    "devanagari": (0x900, 0x97F),
    "bengali to sinhala": (0x980, 0xDFF),
    "thai and lao": (0xE01, 0xEFF),
    "tibetan": (0xF00, 0xFFF),
    "georgian": (0x10A0, 0x10FF),
    "jamo": (0x1100, 0x11FF),
    "cherokee": (0x13A0, 0x13FF),
    "khmer": (0x1780, 0x17FF),
    "latin additions": (0x1E00, 0x1EFF),
    "punctuation": (0x2000, 0x206F),
    "super- and subscripts": (0x2070, 0x20CF),
    "symbols": (0x2100, 0x2BFF),
    "kana": (0x3041, 0x30FF),
    "cjk": (0x4E00, 0x9FFF),
    "cjk forms": (0x3000, 0x33FF),
    "hangul": (0xAC00, 0xD7A3),
    "compatibility ideographs": (0xF900, 0xFAFF),
    "ligatures": (0xFB00, 0xFB4F),
    "full width": (0xFF01, 0xFFEE),
    "private": (0xE000, 0xE0FF),
    "control": (0x00, 0x1F),
    "control above": (0x7F, 0x9F),
    "marks": (0x300, 0x36F),
    "old scripts": (0x10280, 0x10FFF),
    "cuneiform": (0x12000, 0x123FF),
    "mathematical letters": (0x1D400, 0x1D7FF),
    "adlam": (0x1E900, 0x1E95F),
    "emoji": (0x1F300, 0x1FAFF),
    "ideographs beyond": (0x20000, 0x2FA1F),
    "later ideographs": (0x30000, 0x323AF),
    "tags": (0xE0000, 0xE01EF),
    "anything": (0x00, 0x10FFFF),
}

WHOLE = (
    *(
        "",
        " ",
        "\t\n\r",
        "\u3000\u00a0\u2028",
        "\0",
        "\ufeff",
        "\ufffd",
        "\x85\x0b\x0c",
        "...",
        "|||",
    ),
    *(
        "good",
        "GOOD",
        "İstanbul ILIK ılık iğne",
        "ΣΊΣΥΦΟΣ ΟΔΟΣ ς σ",
        "straße STRASSE ẞ",
        "ﬁne ﬂow ﬃ",
    ),
    *(
        "Ｆｕｌｌ　ｗｉｄｔｈ １２３",
        "naïve café co\u0301mbining",
        "a\u0301\u0323\u0334b",
        "e\u0323\u0307",
    ),
    *(
        "👩‍👩‍👧‍👦 family",
        "👍🏽 🇩🇪 🏴\U000e0067\U000e007f",
        "日本語とEnglish混ぜる",
        "𠮷野家 𪚥𪘀 丽",
    ),
    *(
        "한국어 가각 \u1112\u1161\u11ab",
        "שָׁלוֹם עולם",
        "مرحبا بِالعَالَم ﷺ",
        "नमस्ते दुनिया",
        "สวัสดีชาวโลก",
        "ใจ้",
    ),
    *(
        "[CLS] [SEP] [MASK][UNK]",
        "[sep] [ PAD ]",
        "don't can't it's I'll we've",
        "1,234.56 ½ ² ৩ Ⅻ",
    ),
    *(
        "x" * 99,
        "x" * 100,
        "x" * 101,
        "ä" * 100,
        "ａ" * 101,
        "lorem ipsum " * 200,
        "好" * 300,
        "a" * 5000,
    ),
    *(
        "\u200b\u200c\u200d\u2060",
        "soft\u00adhyphen",
        "e\u200dmail",
        "a_b __init__",
        "http://x.y/z?q=1&r=%20",
    ),
    *("\ud7ff\ue000", "\U0010ffff\U0010fffe", "ⅷ ℃ K Å", "ǆ ǅ Ǆ", "ŉ ΐ ﬗ", "𝓗𝓮𝓵𝓵𝓸", "Ꙁ Ꭰ ꭰ Ა"),
)


def mixed_texts(count: int, *, words: Sequence[str], seed: int = 7) -> list[str]:
    """So many texts, none with half a surrogate pair.

    Args:
        count: How many.
        words: Of the vocabulary, so that not every token is an unknown one.
        seed: Of the generator.
    """
    chosen = random.Random(seed)  # noqa: S311 - no secret
    texts = list(WHOLE)
    while len(texts) < count:
        scripts = chosen.sample(sorted(RANGES), k=chosen.choice((1, 1, 2, 3, 5)))
        pieces = []
        for _ in range(chosen.randint(1, 12)):
            if chosen.random() < 0.3:
                word = chosen.choice(words)
                pieces.append(chosen.choice((word, word.upper(), word.title(), word + "\u0301")))
            else:
                first, last = RANGES[chosen.choice(scripts)]
                pieces.append(
                    "".join(chr(chosen.randint(first, last)) for _ in range(chosen.randint(1, 9)))
                )
        text = chosen.choice((" ", "", " ", "  ", "-", "\u3000", "\n")).join(pieces)
        texts.append("".join(c for c in text if not "\ud800" <= c <= "\udfff"))
    return texts[:count]
