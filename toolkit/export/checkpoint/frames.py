"""Speech models that give one token a frame (CTC), as one graph: wav2vec2 and its like."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.export.checkpoint.modules import Head
from toolkit.export.checkpoint.sequences import BATCHES
from toolkit.export.feeds import Sizes
from toolkit.export.libraries import quiet
from toolkit.export.parts import Shapes, TorchPart, TorchSource
from toolkit.export.torch_graph import first_line
from toolkit.tasks import AudioSpec, CtcSpec, TaskSpec
from toolkit.tasks.audio import waveform
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

_SAMPLES = "input_values"
_FRAMES_COMPARED = (2, 13, 49)
"""Frames at which graph and module are compared; 49 are a second."""
_WINDOW_S = 60.0
"""Attention is quadratic in the frames: ten minutes at once would need 40 GB."""


def build(opened: Opened, extractor: Any) -> TorchSource:
    """The module of a CTC model, its tokens and reference.

    Args:
        opened: The checkpoint.
        extractor: transformers' feature extractor.

    Raises:
        InputError: It takes something else than samples, or has no vocabulary.
    """
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
        window_s=_WINDOW_S,
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
