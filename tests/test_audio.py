"""Sound to tensors: files, rates, windows, Whisper's features, frames to text."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from toolkit.errors import InputError, SetupError
from toolkit.tasks import AudioSpec, CtcSpec, TaskSpec, open_task
from toolkit.tasks.audio import resampled, samples_of, waveform, windows
from toolkit.tasks.ctc import CtcReader
from toolkit.tasks.mel import MelEncoder
from toolkit.tensors import Array, TensorSpec

RATE = 16000
MEL = AudioSpec(rate=RATE, features="log-mel", window_s=30.0, mel_bins=80, fft=400, hop=160)
CTC = CtcSpec(blank="<pad>", delimiter="|", hop=160)
LABELS = ("<pad>", "|", "A", "B")
INPUT = TensorSpec(name="input_values", dtype="float32", shape=("batch", "samples"))


def _tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> Array:
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_is_read_as_one_channel(tmp_path: Path, suffix: str) -> None:
    left = _tone(0.25)
    file = tmp_path / f"two{suffix}"
    soundfile.write(file, np.stack([left, np.zeros_like(left)], axis=1), RATE)
    np.testing.assert_allclose(samples_of(str(file), 1, RATE), left / 2, atol=1e-4)


def test_samples_with_their_rate_are_taken_as_they_are() -> None:
    values = _tone(0.1)
    found = samples_of({"array": values, "sampling_rate": RATE}, 1, RATE)
    np.testing.assert_array_equal(found, values)
    found = samples_of({"array": np.stack([values, -values]), "sampling_rate": RATE}, 1, RATE)
    np.testing.assert_array_equal(found, np.zeros_like(values))


def test_another_rate_keeps_the_tone(tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    soundfile.write(file, _tone(1.0, 44100), 44100)
    found = samples_of(file, 1, RATE)
    assert len(found) == RATE
    middle = slice(RATE // 4, -RATE // 4)
    np.testing.assert_allclose(found[middle], _tone(1.0)[middle], atol=2e-3)


def test_a_tone_above_half_the_rate_goes() -> None:
    high = resampled(_tone(1.0, 44100, hertz=12000.0), 44100, RATE)
    assert np.abs(high[2000:-2000]).max() < 1e-3


def test_bad_sound_is_an_input_error(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    with pytest.raises(InputError, match=r"text\.wav is no audio that soundfile can read"):
        samples_of(text, 1, RATE)
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0, np.float32), RATE)
    with pytest.raises(InputError, match=r"empty\.wav is empty"):
        samples_of(empty, 1, RATE)
    with pytest.raises(InputError, match=r"none\.wav does not exist"):
        samples_of(tmp_path / "none.wav", 1, RATE)
    raw = tmp_path / "bare.pcm"
    raw.write_bytes(bytes(100))
    with pytest.raises(InputError, match="its rate is not known"):
        samples_of(raw, 1, RATE)
    with pytest.raises(InputError, match="its sample rate is not known"):
        samples_of(_tone(0.1), 3, RATE)
    with pytest.raises(InputError, match="audio 2 has the sampling_rate 0"):
        samples_of({"array": _tone(0.1), "sampling_rate": 0}, 2, RATE)
    with pytest.raises(InputError, match=r"audio 2 is int64\[3\]"):
        samples_of({"array": np.arange(3), "sampling_rate": RATE}, 2, RATE)
    with pytest.raises(InputError, match="holds NaN"):
        samples_of({"array": np.full(5, np.nan, np.float32), "sampling_rate": RATE}, 1, RATE)
    with pytest.raises(InputError, match="audio 1 is a int"):
        samples_of(5, 1, RATE)


def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tone.wav"
    soundfile.write(file, _tone(0.1, 8000), 8000)
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(SetupError, match="8000 samples a second, the model takes 16000") as raised:
        samples_of(file, 1, RATE)
    assert "onnx-edge-toolkit[audio]" in raised.value.fix
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(SetupError, match="soundfile, which reads audio"):
        samples_of(file, 1, RATE)


def test_long_sound_is_cut_where_it_is_quiet() -> None:
    spec = AudioSpec(rate=1000, features="log-mel", window_s=10.0)
    values = np.random.default_rng(0).uniform(-1, 1, 25_000).astype(np.float32)
    values[9_000:9_300] = 0
    values[17_500:17_700] = 0
    pieces = windows(values, spec)
    np.testing.assert_array_equal(np.concatenate(pieces), values)
    cuts = np.cumsum([len(piece) for piece in pieces])[:-1]
    assert len(pieces) == 3
    assert 9_000 < cuts[0] < 9_300
    assert 17_500 < cuts[1] < 17_700
    assert [len(piece) for piece in windows(values[:10_000], spec)] == [10_000]


def test_samples_are_normalized_and_long_enough() -> None:
    spec = AudioSpec(rate=RATE, features="waveform", window_s=60, normalize=True, shortest_s=0.01)
    found = waveform(_tone(0.1) + 0.25, spec)
    assert abs(found.mean()) < 1e-5
    assert abs(found.std() - 1) < 1e-4
    assert len(waveform(_tone(0.005), spec)) == 160


def test_features_of_silence_and_their_shape() -> None:
    features = MelEncoder(MEL, "input_features").features(np.zeros(100, np.float32))
    assert features.shape == (80, 3000)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.float32(-1.5))  # (log10(1e-10) + 4) / 4


def test_a_tone_lights_its_own_row() -> None:
    features = MelEncoder(MEL, "x").features(_tone(1.0, hertz=1000.0))
    loudest = features[:, 10:80].mean(axis=1).argmax()
    # Slaney's scale: 15 mel at 1 kHz, 45.245 at 8 kHz, over 81 steps.
    assert abs(loudest - (15 / 45.245 * 81 - 1)) <= 1


def _reader(window_s: float = 60.0) -> CtcReader:
    spec = AudioSpec(rate=RATE, features="waveform", window_s=window_s, ctc=CTC)
    return CtcReader(spec, LABELS, (INPUT,), "logits")


def test_frames_become_text() -> None:
    read = _reader().text
    assert read([0, 2, 2, 0, 2, 3, 1, 1, 0, 3, 0]) == "AAB B"
    assert read([1, 2, 1]) == "A"
    assert read([0, 0]) == ""
    assert read([]) == ""


def test_windows_of_long_sound_are_joined_frame_by_frame() -> None:
    reader = _reader(window_s=1.0)
    tokens = np.random.default_rng(0).integers(0, 4, 341)
    item = {"array": np.repeat(tokens, 160).astype(np.float32), "sampling_rate": RATE}
    batch = reader.encode([item], [1])
    feeds = batch.feeds["input_values"]
    assert batch.rows == (0,) * len(feeds)
    assert len(feeds) > 3
    frames = feeds[:, ::160].astype(int)  # what a perfect model hears
    for lost in (0, 1):  # convolutions without padding give a frame less
        logits = np.eye(4, dtype=np.float32)[frames[:, : frames.shape[1] - lost]]
        (result,) = reader.decode({"logits": logits}, batch)
        filled = np.concatenate([tokens, np.zeros(200, int)])
        assert result["text"] == reader.text(filled.tolist())


def test_sound_is_run_one_by_one() -> None:
    audio = AudioSpec(rate=RATE, features="waveform", window_s=60.0, ctc=CTC)
    task = open_task(
        TaskSpec(name="speech-recognition", labels=LABELS, output="logits", audio=audio),
        None,
        (INPUT,),
    )
    assert task.takes_one
    assert task.reads_items
