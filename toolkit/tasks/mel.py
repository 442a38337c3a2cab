"""Sound to the log-mel spectrogram of Whisper."""

import warnings
from collections.abc import Sequence

import numpy as np

from toolkit.errors import ToolkitWarning
from toolkit.tasks.audio import samples_of
from toolkit.tasks.specification import AudioSpec
from toolkit.tensors import Array


class MelEncoder:
    """Audio to the log-mel spectrogram of Whisper, float32[batch, mel bins, frames].

    As WhisperFeatureExtractor of transformers 5.23: power spectrum of periodic Hann windows,
    Slaney's mel filters, log10, the range cut to 8 below the loudest, (x + 4) / 4.

    Args:
        specification: Rate, sizes and the length of a window.
        name: The graph's input.
    """

    def __init__(self, specification: AudioSpec, name: str) -> None:
        self._specification = specification
        self._name = name
        self._filters = mel_filters(specification)
        size = specification.fft
        self._hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """Feeds for audio files or samples; what lies behind the first window is left out."""
        rate = self._specification.rate
        longest = round(self._specification.window_s * rate)
        read = []
        for item, number in zip(items, numbers, strict=True):
            values = samples_of(item, number, rate)
            if len(values) > longest:
                warnings.warn(
                    f"audio {number} was cut to its first {self._specification.window_s:g} s",
                    ToolkitWarning,
                    stacklevel=2,
                )
            read.append(values[:longest])
        return self.feeds(read)

    def feeds(self, pieces: Sequence[Array]) -> dict[str, Array]:
        """Feeds for samples of one window at most, float32[samples] each."""
        return {self._name: np.stack([self.features(piece) for piece in pieces])}

    def features(self, values: Array) -> Array:
        """float32[mel bins, frames] of float32[samples], filled up with silence."""
        spec = self._specification
        longest = round(spec.window_s * spec.rate)
        half = spec.fft // 2
        filled = np.pad(values[:longest].astype(np.float64), (0, max(0, longest - len(values))))
        around = np.pad(filled, half, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(around, spec.fft)[:: spec.hop]
        power = np.abs(np.fft.rfft(frames[:-1] * self._hann, axis=1)) ** 2
        levels = np.log10(np.maximum(power @ self._filters, 1e-10)).T
        levels = np.maximum(levels, levels.max() - 8.0)
        return np.asarray((levels + 4.0) / 4.0, dtype=np.float32)


def mel_filters(specification: AudioSpec) -> Array:
    """float64[frequencies, mel bins]: triangles of equal area, on Slaney's mel scale.

    Slaney (1998), "Auditory Toolbox": linear below 1 kHz, logarithmic above.
    """
    top = specification.rate / 2
    bins = specification.mel_bins
    edges = _hertz(np.linspace(_mel(0.0), _mel(top), bins + 2))
    frequencies = np.linspace(0.0, top, specification.fft // 2 + 1)
    slopes = edges[None, :] - frequencies[:, None]
    widths = np.diff(edges)
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2])))


_LINEAR = 200.0 / 3.0
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_STEP = np.log(6.4) / 27.0


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _LINEAR
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HZ) / _STEP)


def _hertz(mel: Array) -> Array:
    curved = _BREAK_HZ * np.exp(_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR, curved)
