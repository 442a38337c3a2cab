"""Sound to tensors. soundfile reads files, soxr changes their rate; nothing else is needed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolkit.errors import InputError, SetupError
from toolkit.tasks.specification import AudioSpec
from toolkit.tensors import Array, describe

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})
"""Endings of the files that soundfile reads."""
EXTRA = "pip install 'onnx-edge-toolkit[audio]'"
_RAW = frozenset({".raw", ".pcm", ".s16", ".bin"})
_QUIET_S, _SEARCHED = 0.1, 5
"""A window ends in the middle of its quietest tenth of a second within its last fifth."""


def samples_of(item: object, number: int, rate: int) -> Array:
    """float32[samples], one channel, of one item at the model's rate.

    Args:
        item: A file, or {"array": [samples] or [channels, samples], "sampling_rate": samples a
            second}; values from -1 to 1.
        number: What messages call it.
        rate: The model's samples a second.

    Raises:
        InputError: It is no audio, empty, or does not say its rate.
        SetupError: soundfile or soxr is not installed.
    """
    if isinstance(item, (str, Path)):
        values, its = read_audio(Path(item))
        name = str(item)
    else:
        values, its = _given(item, number)
        name = f"audio {number}"
    if not values.size:
        raise InputError(f"{name} is empty: it has no samples", expected="sound of any length")
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity", expected="samples from -1 to 1")
    return resampled(values, its, rate)


def read_audio(file: Path) -> tuple[Array, int]:
    """A file's samples, float32[samples], the mean of its channels, and its rate.

    Raises:
        InputError: The file is missing, no audio, or does not say its rate.
        SetupError: soundfile is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, libsndfile is not
        raise SetupError(f"soundfile, which reads audio, cannot be used: {error}", fix=EXTRA) from (
            error
        )
    if file.suffix.lower() in _RAW:
        raise InputError(
            f"{file} holds samples and nothing else: its rate is not known",
            expected="a file with a header, such as .wav or .flac",
            fix=f"ffmpeg -f s16le -ar 16000 -ac 1 -i {file} {file.with_suffix('.wav').name}",
        )
    if not file.is_file():
        raise InputError(f"{file} does not exist", expected="an audio file")
    try:
        values, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(
            f"{file} is no audio that soundfile can read: {_reason(error)}",
            expected="a .wav, .flac, .ogg or .mp3 file",
        ) from error
    return _one_channel(values.T), int(rate)


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__


def _given(item: object, number: int) -> tuple[Array, int]:
    expected = '{"array": samples, "sampling_rate": samples a second}, or a file'
    if isinstance(item, np.ndarray):
        raise InputError(
            f"audio {number} is {describe(item)}: its sample rate is not known", expected=expected
        )
    if not isinstance(item, Mapping) or not {"array", "sampling_rate"} <= item.keys():
        raise InputError(f"audio {number} is a {type(item).__name__}", expected=expected)
    rate, values = item["sampling_rate"], np.asarray(item["array"])
    if isinstance(rate, bool) or not isinstance(rate, int) or rate <= 0:
        raise InputError(f"audio {number} has the sampling_rate {rate!r}", expected="16000, say")
    if values.dtype.kind != "f" or values.ndim not in {1, 2}:
        raise InputError(
            f"audio {number} is {describe(values)}",
            expected="float[samples] or float[channels, samples], from -1 to 1",
        )
    return _one_channel(np.atleast_2d(values.astype(np.float32))), rate


def _one_channel(values: Array) -> Array:
    return np.ascontiguousarray(values[0] if len(values) == 1 else values.mean(axis=0))


def resampled(values: Array, rate: int, wanted: int) -> Array:
    """float32[samples] at another rate, by soxr in its best quality.

    Raises:
        SetupError: soxr is not installed, and the rates differ.
    """
    if rate == wanted:
        return values
    try:
        import soxr
    except ImportError as error:
        raise SetupError(
            f"the audio has {rate} samples a second, the model takes {wanted}, and soxr, which "
            "changes the rate, is not installed",
            fix=EXTRA,
        ) from error
    changed: Array = soxr.resample(values, rate, wanted, quality="VHQ")
    return changed.astype(np.float32, copy=False)


def windows(values: Array, specification: AudioSpec) -> list[Array]:
    """Audio of any length as pieces that one run takes, cut where it is quiet.

    Args:
        values: float32[samples].
        specification: The longest piece.
    """
    longest = round(specification.window_s * specification.rate)
    quiet = max(1, round(_QUIET_S * specification.rate))
    pieces = []
    while len(values) > longest:
        searched = values[longest - longest // _SEARCHED : longest].astype(np.float64)
        loudness = np.convolve(searched**2, np.ones(quiet), mode="valid")
        cut = longest - len(searched) + int(loudness.argmin()) + quiet // 2
        pieces.append(values[:cut])
        values = values[cut:]
    return [*pieces, values]


def waveform(values: Array, specification: AudioSpec) -> Array:
    """float32[samples] as a model takes them: long enough, and normalized if it wants that."""
    if specification.normalize:
        # As Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm of transformers.
        values = (values - values.mean()) / np.sqrt(values.var() + 1e-7)
    fewest = round(specification.shortest_s * specification.rate)
    return np.pad(values, (0, max(0, fewest - len(values)))).astype(np.float32, copy=False)
