"""Speech: Whisper as an encoder and a decoder, wav2vec2 and its like as one graph."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from toolkit.errors import CheckFailedError, InputError
from toolkit.export.checkpoint.modules import Head
from toolkit.export.checkpoint.sequences import BATCHES, EncoderInput, parts
from toolkit.export.checkpoint.tokenizers import write_tokenizer
from toolkit.export.checkpoint.translation import end_ids, logit_rules, room_of, start_id
from toolkit.export.feeds import Sizes
from toolkit.export.libraries import quiet
from toolkit.export.parts import Shapes, TorchPart, TorchSource
from toolkit.export.torch_graph import first_line
from toolkit.tasks import AudioSpec, CtcSpec, GenerationSpec, SpeechSpec, TaskSpec
from toolkit.tasks.audio import MelEncoder, waveform
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

_FEATURES, _SAMPLES = "input_features", "input_values"
_FRAMES_COMPARED = (2, 13, 49)
"""Frames at which a model of samples is compared; 49 are a second."""
_CTC_WINDOW_S = 60.0
"""Attention is quadratic in the frames: ten minutes at once would need 40 GB."""
_FEATURE_LIMIT = 1e-4


def build(opened: Opened) -> TorchSource:
    """The modules of a speech model, its task, tokens and reference.

    Raises:
        InputError: The checkpoint has no feature extractor or vocabulary that is known here.
        CheckFailedError: Our features are not the checkpoint's.
    """
    extractor = _extractor(opened)
    if hasattr(opened.model, "lm_head") and not opened.config.is_encoder_decoder:
        return _ctc(opened, extractor)
    if type(extractor).__name__ == "WhisperFeatureExtractor":
        return _whisper(opened, extractor)
    raise InputError(
        f"{type(opened.model).__name__} takes the features of {type(extractor).__name__}",
        expected="Whisper, or a CTC model that takes samples, such as wav2vec2",
    )


def _extractor(opened: Opened) -> Any:
    from transformers import AutoFeatureExtractor

    try:
        with quiet():
            return AutoFeatureExtractor.from_pretrained(opened.files.path, local_files_only=True)
    except Exception as error:  # whatever a missing or broken file raises
        raise InputError(
            f"{opened.files.path} does not say how sound is prepared: {first_line(error)}",
            expected="preprocessor_config.json",
        ) from error


def sounds(count: int, samples: int, rate: int) -> list[Array]:
    """float32[samples] each: gliding tones with overtones, pauses and some noise, seeded."""
    rng = np.random.default_rng(0)
    time_s = np.arange(samples) / rate
    made = []
    for _ in range(count):
        pitch, glide, beat = rng.uniform(90, 250), rng.uniform(-40, 40), rng.uniform(1.5, 4)
        phase = 2 * np.pi * (pitch * time_s + glide * time_s**2 / 2)
        tones = sum(np.sin(k * phase) / k for k in range(1, 8))
        loud = np.clip(np.sin(2 * np.pi * beat * time_s + rng.uniform(0, 6)), 0, None)
        noise = rng.standard_normal(samples)
        made.append((0.2 * tones * loud + 0.003 * noise).astype(np.float32))
    return made


def _whisper(opened: Opened, extractor: Any) -> TorchSource:
    preprocessing = opened.work / "preprocessing"
    _, text = write_tokenizer(opened, preprocessing)
    config, room = opened.config, room_of(opened.config)
    audio = AudioSpec(
        rate=extractor.sampling_rate,
        features="log-mel",
        window_s=extractor.n_samples / extractor.sampling_rate,
        mel_bins=extractor.feature_size,
        fft=extractor.n_fft,
        hop=extractor.hop_length,
        speech=_speech(opened),
    )
    shape = (config.num_mel_bins, 2 * config.max_source_positions)
    encoder = MelEncoder(audio, _FEATURES)
    reference = encoder.feeds(sounds(2, extractor.n_samples // 2, audio.rate))
    if reference[_FEATURES].shape[1:] != shape:
        raise InputError(
            f"the feature extractor of {opened.files.path} makes "
            f"{[*reference[_FEATURES].shape[1:]]} of a window",
            expected=f"{[*shape]}, which the model takes",
        )
    _check_features(opened, extractor, reference[_FEATURES], audio)
    given = EncoderInput(
        make=partial(_mel_feeds, reference=reference[_FEATURES]),
        reference=reference,
        dimensions={_FEATURES: {0: "batch"}},
        traced={"batch": 2},
        compared=tuple({"batch": batch} for batch in BATCHES),
        is_masked=False,
        is_cut=True,
    )
    prompt = _prompt(opened, audio)
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=parts(opened, given, start=start_id(opened), room=room),
        task=TaskSpec(
            name=opened.task,
            output="logits",
            text=msgspec.structs.replace(text, max_length=room),
            audio=audio,
            generation=GenerationSpec(
                max_context=room,
                end_ids=end_ids(opened),
                start_ids=prompt,
                logits=logit_rules(opened, prompt=len(prompt)),
            ),
        ),
        exporters=("transformers", "torch"),
        preprocessing=preprocessing,
        path=opened.files.path,
    )


def _speech(opened: Opened) -> SpeechSpec:
    """What Whisper's generation configuration says of languages and tasks."""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    config = opened.model.generation_config
    spoken = {
        name.strip("<|>"): int(number)
        for name, number in (getattr(config, "lang_to_id", None) or {}).items()
    }
    language = str(getattr(config, "language", None) or "").strip("<|>").lower()
    silent = getattr(config, "no_timestamps_token_id", None)
    return SpeechSpec(
        languages=spoken,
        tasks={name: int(i) for name, i in (getattr(config, "task_to_id", None) or {}).items()},
        suffix=() if silent is None else (int(silent),),
        language=TO_LANGUAGE_CODE.get(language, language) if spoken else "",
    )


def _prompt(opened: Opened, audio: AudioSpec) -> tuple[int, ...]:
    """What the decoder begins with, before the language if it has several."""
    start = start_id(opened)
    assert audio.speech is not None
    if audio.speech.languages or audio.speech.suffix:
        return (start,)
    forced = getattr(opened.model.generation_config, "forced_decoder_ids", None) or ()
    return (start, *(int(token) for _, token in forced if token is not None))


def _check_features(opened: Opened, extractor: Any, ours: Array, audio: AudioSpec) -> None:
    """Whether ours are the checkpoint's own features, of the reference."""
    values = sounds(len(ours), extractor.n_samples // 2, audio.rate)
    with quiet():
        made = extractor(values, sampling_rate=audio.rate, return_tensors="np")[_FEATURES]
    error = float(np.abs(made - ours).max())
    if error > _FEATURE_LIMIT:
        raise CheckFailedError(
            f"the features of {opened.files.path} differ from ours by {error:.3g}",
            expected=f"at most {_FEATURE_LIMIT:g}: a log-mel spectrogram as Whisper's, without "
            "dither",
        )


def _mel_feeds(sizes: Sizes, seed: int, *, reference: Array) -> dict[str, Array]:
    """Features of the reference, shifted in time and loudness."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(sizes["batch"]):
        row = reference[number % len(reference)]
        shifted = np.roll(row, int(rng.integers(row.shape[1])), axis=1)
        rows.append(shifted + np.float32(rng.uniform(-0.2, 0.2)))
    return {_FEATURES: np.stack(rows)}


def _ctc(opened: Opened, extractor: Any) -> TorchSource:
    if opened.model.main_input_name != _SAMPLES or not hasattr(opened.config, "conv_stride"):
        raise InputError(
            f"{type(opened.model).__name__} takes {opened.model.main_input_name}",
            expected=f"a CTC model that takes {_SAMPLES}: samples, such as wav2vec2",
        )
    opened.model.set_attn_implementation("eager")
    labels, ctc = _vocabulary(opened)
    fewest = _samples(opened, 1)
    audio = AudioSpec(
        rate=extractor.sampling_rate,
        features="waveform",
        window_s=_CTC_WINDOW_S,
        normalize=bool(extractor.do_normalize),
        shortest_s=fewest / extractor.sampling_rate,
        ctc=ctc,
    )
    longest = _samples(opened, max(_FRAMES_COMPARED))
    reference = np.stack([waveform(one, audio) for one in sounds(2, longest, audio.rate)])
    make = partial(_sample_feeds, reference=reference)
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=(
            TorchPart(
                module=Head(opened.model, (_SAMPLES,), ("logits",)),
                feeds={_SAMPLES: reference},
                dimensions={_SAMPLES: {0: "batch", 1: "samples"}},
                shapes=Shapes(
                    traced={"batch": 2, "samples": _samples(opened, 17) + 11},
                    compared=tuple(
                        {"batch": batch, "samples": _samples(opened, frames) + extra}
                        for batch, extra in zip(BATCHES, (0, 1, 79), strict=True)
                        for frames in _FRAMES_COMPARED
                    ),
                    make=make,
                ),
            ),
        ),
        task=TaskSpec(name=opened.task, labels=labels, output="logits", audio=audio),
        exporters=("transformers", "torch"),
        path=opened.files.path,
    )


def _vocabulary(opened: Opened) -> tuple[tuple[str, ...], CtcSpec]:
    """The tokens in the order of the logits, and how they become text."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(opened.files.path, local_files_only=True)
    except Exception as error:  # whatever a missing or broken vocabulary raises
        raise InputError(
            f"{opened.files.path} has no vocabulary that can be read: {first_line(error)}",
            expected="vocab.json and tokenizer_config.json",
        ) from error
    rows = int(opened.config.vocab_size)
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    if not tokens or max(tokens) >= rows:
        raise InputError(
            f"the vocabulary of {opened.files.path} has token ids up to {max(tokens, default=-1)}, "
            f"the model has {rows}",
            expected="the vocabulary that the model was trained with",
        )
    return tuple(tokens.get(number, "") for number in range(rows)), CtcSpec(
        blank=str(tokenizer.pad_token),
        delimiter=str(getattr(tokenizer, "word_delimiter_token", None) or ""),
        hop=math.prod(opened.config.conv_stride),
        lower_case=bool(getattr(tokenizer, "do_lower_case", False)),
    )


def _samples(opened: Opened, frames: int) -> int:
    """Fewest samples from which the model's convolutions make so many frames."""
    config, samples = opened.config, frames
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        samples = (samples - 1) * stride + kernel
    return int(samples)


def _sample_feeds(sizes: Sizes, seed: int, *, reference: Array) -> dict[str, Array]:
    """Pieces of the reference, repeated where they are too short."""
    rng = np.random.default_rng(seed)
    rows = [
        np.resize(
            np.roll(reference[number % len(reference)], int(rng.integers(len(reference[0])))),
            sizes["samples"],
        )
        for number in range(sizes["batch"])
    ]
    return {_SAMPLES: np.stack(rows)}
