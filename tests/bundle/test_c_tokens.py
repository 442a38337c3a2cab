"""The C tokenizer makes the token ids that `tokenizers` makes, or its target refuses."""

import hashlib
import json
import random
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from tests.bundle.c_programs import APP, REPOSITORY, SANITIZERS, compiled
from tests.bundle.scripts_lines import lines
from toolkit import InputError
from toolkit.bundle.c_source import tokenizer_source
from toolkit.bundle.tokenizing import check_tokenizer, tables_of

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ONE_TOKENIZER = """#include "model_data.h"
extern const struct tokenizer_data tokenizer_data;
const struct model_data model_data = {.tokenizer = &tokenizer_data};
"""


def word_piece(normalizer: Any, pre_tokenizer: Any) -> Tokenizer:
    """BERT's tokenizer with a vocabulary of all the scripts, so that little is unknown."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=12_000, min_frequency=2, special_tokens=BERT, show_progress=False
    )
    tokenizer.train_from_iterator([line for line in lines(seed=8) if len(line) < 999], trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def word_level() -> Tokenizer:
    """The tokenizer of models/sentiment_lstm."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))  # noqa: S106 - no secret
    quotes = normalizers.Replace(Regex("[\u2018\u2019`]"), "'")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), quotes]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A [END]", special_tokens=[("[END]", 2)])
    special = ["[PAD]", "[UNK]", "[END]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([line for line in lines(seed=8) if len(line) < 999], trainer)
    return tokenizer


TOKENIZERS = {
    "BERT uncased": lambda: word_piece(
        normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    ),
    "BERT cased": lambda: word_piece(
        normalizers.BertNormalizer(lowercase=False), pre_tokenizers.BertPreTokenizer()
    ),
    "words by spaces, decomposed": lambda: word_piece(
        normalizers.NFD(), pre_tokenizers.WhitespaceSplit()
    ),
    "word level": word_level,
}


def program(tokenizer: Tokenizer, folder: Path, *flags: str) -> Path:
    """tests/c/tokens.c with the tokenizer's tables."""
    text = tokenizer.to_str()
    check_tokenizer(text, "c")
    (folder / "tokenizer_data.c").write_text(tokenizer_source(tables_of(text)))
    (folder / "model_data.c").write_text(ONE_TOKENIZER)
    sources = [
        REPOSITORY / "tests/c/tokens.c",
        *(APP / "src" / name for name in ("tokenizer.c", "characters.c")),
        *folder.glob("*_data.c"),
    ]
    return compiled(folder / "tokens", sources, *flags)


def answers(executable: Path, items: list[tuple[bytes, bytes | None]], most: int) -> list[str]:
    records = b"".join(
        struct.pack("=ii", len(first), -1 if second is None else len(second))
        + first
        + (second or b"")
        for first, second in items
    )
    done = subprocess.run(
        [executable, str(most)], input=records, capture_output=True, check=True, timeout=120
    )
    return done.stdout.decode().splitlines()


def expected(tokenizer: Tokenizer, first: str, second: str | None) -> str:
    encoding = tokenizer.encode(first, second)
    pairs = zip(encoding.ids, encoding.type_ids, strict=True)
    return " ".join(f"{token}:{kind}" for token, kind in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_five_thousand_lines_of_many_scripts_have_the_same_tokens(
    tmp_path: Path, name: str
) -> None:
    tokenizer = TOKENIZERS[name]()
    executable = program(tokenizer, tmp_path)
    texts = lines()
    pairs = list(zip(texts[:500], texts[500:1000], strict=True))
    choose = random.Random(3)  # noqa: S311 - nothing secret
    for most, items in (
        (1_000_000, [(text, None) for text in texts]),
        (choose.randint(4, 24), [(text, None) for text in texts[:1000]]),
        (choose.randint(5, 24), pairs),
        (choose.randint(25, 60), pairs),
    ):
        tokenizer.enable_truncation(most)
        encoded = [(a.encode(), None if b is None else b.encode()) for a, b in items]
        found = answers(executable, encoded, most)
        wanted = [expected(tokenizer, *item) for item in items]
        different = [ascii(item) for item, a, b in zip(items, found, wanted, strict=True) if a != b]
        assert not different, f"{len(different)}, among them {different[:3]}"
    known = sum(" " in line for line in answers(executable, encoded, most))
    assert known > len(encoded) / 2  # not all of it unknown, which any program could say


@pytest.mark.slow
def test_bytes_that_are_no_utf_8_are_refused_and_nothing_is_read_beyond_a_text(
    tmp_path: Path,
) -> None:
    tokenizer = TOKENIZERS["BERT uncased"]()
    executable = program(tokenizer, tmp_path, *SANITIZERS)
    choose = random.Random(5)  # noqa: S311 - nothing secret
    items = [b"\xff", b"a\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
    for text in lines(800):
        broken = bytearray(text.encode())
        if broken:
            broken[choose.randrange(len(broken))] = choose.randrange(256)
        items.append(bytes(broken[: choose.randint(0, len(broken))]))

    def wanted(item: bytes) -> str:
        try:
            return expected(tokenizer, item.decode(), None)
        except UnicodeDecodeError:
            return "not UTF-8"

    found = answers(executable, [(item, None) for item in items], 1_000_000)
    assert found == [wanted(item) for item in items]
    assert found[:6] == ["not UTF-8"] * 6


@pytest.mark.slow
def test_sha_256_is_that_of_hashlib_around_every_block_and_buffer(tmp_path: Path) -> None:
    sources = [REPOSITORY / "tests/c/digest.c", APP / "src/sha256.c"]
    executable = compiled(tmp_path / "digest", sources, *SANITIZERS)
    for size in (0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 16383, 16384, 16385, 16440, 100_000):
        content = random.Random(size).randbytes(size)  # noqa: S311 - nothing secret
        done = subprocess.run([executable], input=content, capture_output=True, check=True)
        assert done.stdout.decode().strip() == hashlib.sha256(content).hexdigest(), size


def changed(part: str, value: object) -> str:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return json.dumps({**json.loads(tokenizer.to_str()), part: value})


@pytest.mark.parametrize(
    "part, value, named",
    [
        ("model", {"type": "BPE", "vocab": {}, "merges": []}, "BPE"),
        ("model", {"type": "WordLevel", "vocab": {}, "unk_token": "[UNK]"}, "[UNK]"),
        ("normalizer", {"type": "NFC"}, "NFC"),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFD"}] * 2}, "twice"),
        (
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": ""},
            "[ab]+",
        ),
        ("normalizer", {"type": "Replace", "pattern": {"String": "''"}, "content": ""}, "''"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "ByteLevel"),
        ("pre_tokenizer", None, "none"),
        ("post_processor", {"type": "RobertaProcessing"}, "RobertaProcessing"),
    ],
)
def test_tokenizers_of_other_kinds_are_refused_by_name(
    part: str, value: object, named: str
) -> None:
    with pytest.raises(InputError) as raised:
        check_tokenizer(changed(part, value), "c")
    assert named in raised.value.problem
    assert "--target python" in raised.value.fix


def test_tokens_that_take_the_space_beside_them_are_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    with pytest.raises(InputError, match="<mask>"):
        check_tokenizer(tokenizer.to_str(), "c")
