"""Encoder-decoders and speech, exported and run, against transformers token by token."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers
from tokenizers import Tokenizer

from tests.export.sequence_checkpoints import (
    bart_checkpoint,
    calm_t5_checkpoint,
    marian_checkpoint,
    wav2vec2_checkpoint,
    whisper_checkpoint,
)
from toolkit import load
from toolkit.answering import Asked, infer
from toolkit.cli.main import main
from toolkit.errors import InputError
from toolkit.evaluate.validation import validate
from toolkit.export import export
from toolkit.export.checkpoint import CheckpointOptions, Opened, speech
from toolkit.export.checkpoint.files import read_files
from toolkit.export.checkpoint.frames import sounds
from toolkit.export.parts import ExporterName
from toolkit.generation import GenerationOptions, generate
from toolkit.generation.transcription import Transcriber
from toolkit.generation.translation import Translator
from toolkit.package import ModelPackage
from toolkit.tasks import TaskOptions
from toolkit.tasks.mel import MelEncoder
from toolkit.tensors import Array

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TEXTS = (
    "Anna Schmidt works in Toronto.",
    "A gorgeous, witty film about a sequel that nobody wanted to see, yet one forgives it.",
    "Dull.",
)
RATE = 16000
SOUNDS = (
    *sounds(3, 14_000, RATE),
    np.random.default_rng(0).normal(0, 0.2, 9_000).astype(np.float32),
)


@dataclass(frozen=True)
class Made:
    """A checkpoint and its package."""

    checkpoint: Path
    package: Path


Make = Callable[..., Path]


def _made(folder: Path, make: Make, *, exporter: ExporterName = "auto") -> Made:
    made = Made(make(folder / "checkpoint"), folder / "made.ortpackage")
    report = export(made.checkpoint, made.package, exporter=exporter)
    assert report.parity.max_abs_error <= 1e-4
    assert not report.attempts
    return made


@pytest.fixture(scope="module", params=[calm_t5_checkpoint, marian_checkpoint, bart_checkpoint])
def translator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return _made(tmp_path_factory.mktemp("translator"), request.param)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return _made(tmp_path_factory.mktemp("whisper"), whisper_checkpoint)


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return _made(tmp_path_factory.mktemp("wav2vec2"), wav2vec2_checkpoint)


def _generated(made: Made, texts: list[str], tokens: int) -> list[list[int]]:
    """Transformers' greedy tokens, without the first one, the padding and the end."""
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(made.checkpoint)
    model = library.AutoModelForSeq2SeqLM.from_pretrained(made.checkpoint).eval()
    feeds = tokenizer(texts, padding=True, return_tensors="pt")
    rows = model.generate(
        input_ids=feeds["input_ids"],
        attention_mask=feeds["attention_mask"],
        max_new_tokens=tokens,
        num_beams=1,
        do_sample=False,
    )
    end = model.generation_config.eos_token_id
    made_tokens = [row[1:].tolist() for row in rows]
    return [row[: row.index(end)] if end in row else row for row in made_tokens]


def _ours(model: Translator, texts: list[str], tokens: int) -> list[list[int]]:
    options = GenerationOptions(max_new_tokens=tokens)
    decoder, answers = model.begin(texts, [1, 2, 3][: len(texts)], options)
    for _ in generate(decoder, answers, pad_id=0):
        pass
    return [answer.tokens for answer in answers]


def _opened(made: Made) -> Translator:
    model = load(made.package)
    assert isinstance(model, Translator)
    return model


def test_greedy_tokens_are_those_of_transformers(translator: Made) -> None:
    model = _opened(translator)
    for texts in ([*TEXTS], [TEXTS[0]], [TEXTS[1]]):
        wanted = _generated(translator, texts, 24)
        assert _ours(model, texts, 24) == wanted
        assert all(len(set(row)) > 4 for row in wanted)  # something that can differ


def test_the_text_is_what_the_tokenizer_says(translator: Made) -> None:
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(translator.checkpoint)
    rows = _generated(translator, [TEXTS[1]], 20)
    result = load(translator.package)(TEXTS[1])
    short = GenerationOptions(max_new_tokens=20)
    wanted = tokenizer.decode(rows[0], skip_special_tokens=True)
    model = _opened(translator)
    assert model(TEXTS[1], short)["text"] == wanted
    assert "".join(model.stream(TEXTS[1], short)) == wanted
    assert set(result) == {"text", "tokens", "tokens_per_s", "ended_by"}


def test_a_text_alone_and_in_company_gets_the_same(translator: Made) -> None:
    model = _opened(translator)
    options = GenerationOptions(max_new_tokens=16)
    together = [result["text"] for result in model([*TEXTS], options)]
    assert together == [model(text, options)["text"] for text in TEXTS]


def test_an_answer_that_there_is_no_room_for(translator: Made) -> None:
    strict = load(translator.package, reading=TaskOptions(truncate=False))
    assert isinstance(strict, Translator)
    strict("Anna works.")
    most = strict.specification.max_context
    with pytest.raises(InputError, match=f"may have {most + 1:,} tokens"):
        strict("Anna works.", GenerationOptions(max_new_tokens=most + 1))


def test_both_components_validate_and_are_inspected(
    translator: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    report = validate(translator.package)
    assert report.passed
    names = {check.name.partition(":")[0] for check in report.checks}
    assert names == {"integrity", "encoder", "decoder"}
    assert main(["inspect", str(translator.package)]) == 0
    assert "present.0.key: float32[batch, 2, past + sequence, 16]" in capsys.readouterr().out
    package = ModelPackage.open(translator.package)
    decoder = package.focused("decoder")
    assert [spec.name for spec in decoder.inputs][:2] == [
        "decoder_input_ids",
        "encoder_attention_mask",
    ]
    assert {spec.name for spec in package.focused("encoder").outputs} <= {
        spec.name for spec in decoder.inputs
    }


def test_what_cannot_be_measured_is_refused(
    translator: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\na film,good\n")
    for command in ("quantize", "evaluate"):
        assert main([command, str(translator.package), "--data", str(data)]) == 3
    assert "answers of the task text-to-text are whole texts" in capsys.readouterr().err
    assert main(["infer", str(translator.package), "a", "-o", str(tmp_path / "a.npz")]) == 3
    assert main(["infer", str(translator.package), "a", "--chat"]) == 3
    assert "has no form of a conversation" in capsys.readouterr().err
    assert main(["infer", str(translator.package), "", "--json"]) == 3
    assert "text 1 is empty" in capsys.readouterr().err


def test_the_other_exporter_makes_the_same_package(tmp_path: Path) -> None:
    made = _made(tmp_path, calm_t5_checkpoint, exporter="torch")
    assert _ours(_opened(made), [*TEXTS], 12) == _generated(made, [*TEXTS], 12)


@pytest.mark.parametrize("make", [whisper_checkpoint, wav2vec2_checkpoint])
def test_speech_by_the_other_exporter(tmp_path: Path, make: Make) -> None:
    made = _made(tmp_path, make, exporter="torch")
    assert validate(made.package).passed


def _heard(made: Made, values: Array, **options: str) -> tuple[list[int], str]:
    """Transformers' greedy tokens of one sound, and their text."""
    library: Any = transformers
    model = library.WhisperForConditionalGeneration.from_pretrained(made.checkpoint).eval()
    extractor = library.WhisperFeatureExtractor.from_pretrained(made.checkpoint)
    tokenizer = library.AutoTokenizer.from_pretrained(made.checkpoint)
    features = extractor(values, sampling_rate=RATE, return_tensors="pt").input_features
    with torch.no_grad():
        (row,) = model.generate(features, num_beams=1, do_sample=False, **options)
    return row.tolist(), tokenizer.decode(row, skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    "language, translates", [("", False), ("de", False), ("en", True)], ids=str
)
def test_whisper_writes_what_transformers_does(
    whisper: Made, language: str, translates: bool
) -> None:
    model = load(whisper.package, reading=TaskOptions(language=language, translate=translates))
    asked = {"language": language} if language else {}
    asked["task"] = "translate" if translates else "transcribe"
    texts = set()
    for values in SOUNDS:
        _, wanted = _heard(whisper, values, **asked)
        result = model({"array": values, "sampling_rate": RATE})
        assert result["text"] == wanted
        assert result["language"] == language or (not language and result["language"])
        texts.add(wanted)
    assert len(texts) == len(SOUNDS)


def _told(checkpoint: Path, **said: object) -> Path:
    """Change what a checkpoint's generation configuration says; None removes a key."""
    file = checkpoint / "generation_config.json"
    content = json.loads(file.read_text()) | said
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return checkpoint


def test_whisper_without_a_task_is_told_none(tmp_path: Path) -> None:
    made = _made(tmp_path, lambda path: _told(whisper_checkpoint(path), task=None))
    for options, asked in (("", {}), ("de", {"language": "de"})):
        model = load(made.package, reading=TaskOptions(language=options))
        for values in SOUNDS:
            _, wanted = _heard(made, values, **asked)
            assert model({"array": values, "sampling_rate": RATE})["text"] == wanted


@pytest.mark.parametrize(
    "said, language, task",
    [
        ({"task": "translate"}, "", "translate"),
        ({"language": "de"}, "de", "transcribe"),
        ({"forced_decoder_ids": [[1, None], [2, "<|transcribe|>"]]}, "", "transcribe"),
        ({"forced_decoder_ids": [[1, "<|en|>"], [2, "<|translate|>"]]}, "en", "translate"),
        ({"task": "transcribe", "forced_decoder_ids": [[1, "<|en|>"]]}, "", "transcribe"),
        ({}, "", ""),
    ],
)
def test_what_whisper_is_told_is_what_transformers_tells_it(
    said: dict[str, Any], language: str, task: str, tmp_path: Path
) -> None:
    path = whisper_checkpoint(tmp_path / "whisper")
    ids = Tokenizer.from_file(str(path / "tokenizer.json")).token_to_id
    if "forced_decoder_ids" in said:
        forced = said["forced_decoder_ids"]
        said = {**said, "forced_decoder_ids": [[i, token and ids(token)] for i, token in forced]}
    _told(path, **{"task": None, **said})
    opened = Opened(read_files(path, trust_pickle=False), CheckpointOptions(), tmp_path)
    audio = speech.build(opened).task.audio
    assert audio is not None
    assert audio.speech is not None
    assert (audio.speech.language, audio.speech.task) == (language, task)
    if language:  # else transformers would have to hear something
        config = opened.model.generation_config
        (told,) = opened.model._retrieve_init_tokens(None, 1, config, opened.config, 1, {}).tolist()
        tokens = (audio.speech.languages[language], audio.speech.tasks[task])
        assert told[1:] == [*tokens, *audio.speech.suffix]


def test_whisper_features_are_those_of_transformers() -> None:
    library: Any = transformers
    from toolkit.tasks import AudioSpec

    rng = np.random.default_rng(0)
    for bins in (80, 128):
        extractor = library.WhisperFeatureExtractor(feature_size=bins)
        spec = AudioSpec(
            rate=RATE, features="log-mel", window_s=30.0, mel_bins=bins, fft=400, hop=160
        )
        ours = MelEncoder(spec, "input_features")
        for values in (
            *sounds(2, 7 * RATE, RATE),
            rng.normal(0, 0.3, 30 * RATE).astype(np.float32),
            np.zeros(100, np.float32),
            np.eye(1, 9_000, 3_000, dtype=np.float32)[0],
        ):
            wanted = extractor(values, sampling_rate=RATE, return_tensors="np").input_features
            found = ours.feeds([values])["input_features"]
            assert found.shape == (1, bins, 3000)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_long_speech_is_written_window_by_window(whisper: Made, tmp_path: Path) -> None:
    model = load(whisper.package, reading=TaskOptions(language="de"))
    assert isinstance(model, Transcriber)
    pause = np.zeros(1_800, np.float32)
    values = np.concatenate([SOUNDS[0], pause, SOUNDS[1], pause, SOUNDS[2]])
    file = tmp_path / "long.wav"
    soundfile.write(file, values, RATE, subtype="FLOAT")
    result = model(str(file))
    assert "".join(model.stream(str(file))).strip() == result["text"]
    assert len(result["text"]) > 2 * len(model({"array": SOUNDS[0], "sampling_rate": RATE})["text"])
    report = infer(
        whisper.package, asked=Asked(texts=(str(file),)), reading=TaskOptions(language="de")
    )
    assert report.results == (result,)
    given = Asked(tensors={"input_features": file})
    again = infer(whisper.package, asked=given, reading=TaskOptions(language="de"))
    assert again.results == (result,)


def test_a_language_that_the_model_does_not_know(whisper: Made) -> None:
    with pytest.raises(InputError, match="does not know the language 'xx'") as raised:
        load(whisper.package, reading=TaskOptions(language="xx"))
    assert raised.value.expected == "one of de, en"


def test_ctc_text_is_that_of_the_pipeline(wav2vec2: Made, tmp_path: Path) -> None:
    library: Any = transformers
    said = library.pipeline("automatic-speech-recognition", model=str(wav2vec2.checkpoint))
    model = load(wav2vec2.package)
    wanted = [said({"raw": v.copy(), "sampling_rate": RATE})["text"] for v in SOUNDS]
    items = [{"array": values, "sampling_rate": RATE} for values in SOUNDS]
    assert [result["text"] for result in model(items)] == wanted
    assert len(set(wanted)) == len(SOUNDS)
    file = tmp_path / "speech.wav"
    soundfile.write(file, SOUNDS[0], RATE, subtype="FLOAT")
    assert model(str(file)) == {"text": wanted[0]}


def test_infer_of_a_sound_file(
    wav2vec2: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "speech.wav"
    soundfile.write(file, SOUNDS[0], RATE, subtype="FLOAT")
    text = load(wav2vec2.package)(str(file))["text"]
    for arguments in ([str(file)], ["--input", f"input_values={file}"]):
        assert main(["infer", str(wav2vec2.package), *arguments]) == 0
        assert capsys.readouterr().out.strip() == text
    assert main(["infer", str(wav2vec2.package), str(tmp_path / "none.wav")]) == 3
    assert "none.wav does not exist" in capsys.readouterr().err
    assert main(["infer", str(wav2vec2.package), str(file), "--language", "de"]) == 3
    assert "is told no language" in capsys.readouterr().err
