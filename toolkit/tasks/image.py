"""Images to tensors; Pillow decodes files and is needed for nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import InputError, SetupError
from toolkit.tasks.specification import ImageSpec
from toolkit.tensors import Array, TensorSpec, describe


class ImageEncoder:
    """Images to `float32[batch, channels, height, width]`.

    Args:
        specification: Size, mode and normalization.
        inputs: The graph's only input.
    """

    def __init__(self, specification: ImageSpec, inputs: Sequence[TensorSpec]) -> None:
        self._specification = specification
        self._name = inputs[0].name

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """The feeds for image files (path) or arrays (uint8[height, width] or [..., channels])."""
        pairs = zip(items, numbers, strict=True)
        return {self._name: np.stack([self._prepared(item, number) for item, number in pairs])}

    def _prepared(self, item: object, number: int) -> Array:
        spec = self._specification
        channels = len(spec.mode)
        pixels = read_image(Path(item), spec) if isinstance(item, (str, Path)) else item
        if not isinstance(pixels, np.ndarray):
            raise InputError(
                f"image {number} is a {type(pixels).__name__}", expected="a file or an array"
            )
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape != (spec.height, spec.width, channels):
            raise InputError(
                f"image {number} is {describe(pixels)}",
                expected=f"uint8[{spec.height}, {spec.width}, {channels}]",
                fix="pass the image as a file: it is resized then",
            )
        values = pixels.astype(np.float32) * np.float32(spec.scale)
        if spec.mean:
            values -= np.array(spec.mean, np.float32)
        if spec.std:
            values /= np.array(spec.std, np.float32)
        return values.transpose(2, 0, 1)


def read_image(file: Path, spec: ImageSpec) -> Array:
    """uint8[height, width] or [height, width, 3] of an image file, resized.

    Raises:
        SetupError: Pillow is not installed.
        InputError: The file is missing or no image.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise SetupError(
            "Pillow, which reads images, is not installed",
            fix="pip install onnx-edge-toolkit[image]",
        ) from error
    try:
        with Image.open(file) as image:
            size = (spec.width, spec.height)
            converted = image.convert(spec.mode)
            return np.asarray(converted if converted.size == size else converted.resize(size))
    except UnidentifiedImageError as error:
        raise InputError(f"{file} is no image that Pillow knows") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error}") from error
