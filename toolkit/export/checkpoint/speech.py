"""Speech: Whisper as an encoder and a decoder; for one token a frame see `frames.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from toolkit.errors import CheckFailedError, InputError
from toolkit.export.checkpoint import frames
from toolkit.export.checkpoint.frames import sounds
from toolkit.export.checkpoint.sequences import BATCHES, EncoderInput, parts
from toolkit.export.checkpoint.tokenizers import write_tokenizer
from toolkit.export.checkpoint.translation import end_ids, logit_rules, room_of, start_id
from toolkit.export.feeds import Sizes
from toolkit.export.libraries import quiet
from toolkit.export.parts import TorchSource
from toolkit.export.torch_graph import first_line
from toolkit.tasks import AudioSpec, GenerationSpec, SpeechSpec, TaskSpec
from toolkit.tasks.mel import MelEncoder
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

_FEATURES = "input_features"
_FEATURE_LIMIT = 1e-4


def build(opened: Opened) -> TorchSource:
    """The modules of a speech model, its task, tokens and reference.

    Raises:
        InputError: The checkpoint has no feature extractor or vocabulary that is known here.
        CheckFailedError: Our features are not the checkpoint's.
    """
    extractor = _extractor(opened)
    if hasattr(opened.model, "lm_head") and not opened.config.is_encoder_decoder:
        return frames.build(opened, extractor)
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
            kind: Any = AutoFeatureExtractor
            return kind.from_pretrained(opened.files.path, local_files_only=True)
    except Exception as error:  # whatever a missing or broken file raises
        raise InputError(
            f"{opened.files.path} does not say how sound is prepared: {first_line(error)}",
            expected="preprocessor_config.json",
        ) from error


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
    tasks = {name: int(i) for name, i in (getattr(config, "task_to_id", None) or {}).items()}
    language = str(getattr(config, "language", None) or "").strip("<|>").lower()
    task = str(getattr(config, "task", None) or ("transcribe" if language else ""))
    if not task:  # what older checkpoints say instead
        forced = {token for _, token in _forced(opened)}
        language = next((code for code, token in spoken.items() if token in forced), "")
        task = next((name for name, token in tasks.items() if token in forced), "")
    silent = getattr(config, "no_timestamps_token_id", None)
    return SpeechSpec(
        languages=spoken,
        tasks=tasks,
        suffix=() if silent is None else (int(silent),),
        language=TO_LANGUAGE_CODE.get(language, language) if spoken else "",
        task=task,
    )


def _forced(opened: Opened) -> list[tuple[int, int | None]]:
    """Places and tokens of `forced_decoder_ids`, of either configuration."""
    configs = (opened.model.generation_config, opened.config)
    found = (getattr(config, "forced_decoder_ids", None) for config in configs)
    return [(int(place), token) for place, token in next(filter(None, found), ())]


def _prompt(opened: Opened, audio: AudioSpec) -> tuple[int, ...]:
    """What the decoder begins with, before the language if it has several."""
    start = start_id(opened)
    assert audio.speech is not None
    if audio.speech.languages or audio.speech.suffix:
        return (start,)
    return (start, *(token for _, token in _forced(opened) if token is not None))


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
