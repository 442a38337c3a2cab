"""Images to tensors; Pillow decodes files and resizes, and is needed for nothing else."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks.image_files import converted, is_pillows, pillow, read_pixels
from toolkit.tasks.specification import ImageSpec, ResizeSpec
from toolkit.tensors import Array, TensorSpec, describe, numpy_dtype

MASK = "pixel_mask"
"""The graph input that says which pixels are real: 1, and 0 for what fills up a smaller image."""

MOST_PIXELS = 89_478_485
"""That a resized image may have: Pillow's own limit for files, a quarter of a gigabyte."""


class ImageEncoder:
    """Images to `float32[batch, channels, height, width]`, as transformers' PIL processors do.

    Args:
        specification: Size, mode and normalization.
        inputs: The graph's inputs: one of rank 4, and perhaps `pixel_mask`.
    """

    def __init__(self, specification: ImageSpec, inputs: Sequence[TensorSpec]) -> None:
        self._specification = specification
        image = next((spec for spec in inputs if len(spec.shape) == 4), None)
        if image is None:
            raise InputError(
                f"the graph takes {', '.join(f'{spec.name}: {spec}' for spec in inputs)}",
                expected="an image: a tensor [batch, channels, height, width]",
            )
        self._name = image.name
        self._dtype = numpy_dtype(image)
        self._masks = [(spec.name, numpy_dtype(spec)) for spec in inputs if spec.name == MASK]

    def __call__(self, items: Sequence[object], numbers: Sequence[int]) -> dict[str, Array]:
        """The feeds for images; see `pixels`."""
        pairs = zip(items, numbers, strict=True)
        return self.feeds([self.tensor(self.pixels(*pair), pair[1]) for pair in pairs])

    def pixels(self, item: object, number: int) -> Array:
        """[height, width, channels] of an image as it is.

        Args:
            item: A file (its path), an array (uint8[height, width] or [..., channels]), or
                Pillow's image.
            number: What messages call it.

        Raises:
            InputError: It is none of these, or cannot be read.
            SetupError: Pillow is needed and not installed.
        """
        mode = self._specification.mode
        if isinstance(item, (str, Path)):
            found = read_pixels(Path(item), mode)
        elif isinstance(item, np.ndarray):
            found = item
        elif is_pillows(item):
            found = converted(item, mode, f"image {number}")
        else:
            raise InputError(
                f"image {number} is a {type(item).__name__}", expected="a file or an array"
            )
        channels = len(mode)
        if found.ndim == 2:
            found = np.repeat(found[:, :, None], channels, axis=2)
        if found.ndim != 3 or found.shape[2] != channels or 0 in found.shape:
            raise InputError(
                f"image {number} is {describe(found)}",
                expected=f"uint8[height, width, {channels}]",
            )
        return found

    def tensor(self, pixels: Array, number: int) -> Array:
        """float[channels, height, width] of `pixels`: resized, cropped, scaled and normalized."""
        spec = self._specification
        resized = _resized(pixels, spec, number)
        if spec.height and spec.fill == "crop":
            resized = _cropped(resized, spec.height, spec.width)
        values = resized.astype(np.float32) * np.float32(spec.scale)
        if spec.mean:
            values -= np.array(spec.mean, np.float32)
        if spec.std:
            values /= np.array(spec.std, np.float32)
        return values.transpose(2, 0, 1).astype(self._dtype, copy=False)

    def feeds(self, tensors: Sequence[Array]) -> dict[str, Array]:
        """One batch, smaller images filled up with zeros on the right and below."""
        spec = self._specification
        height = spec.height or max(tensor.shape[1] for tensor in tensors)
        width = spec.width or max(tensor.shape[2] for tensor in tensors)
        channels = tensors[0].shape[0]
        batch = np.zeros((len(tensors), channels, height, width), self._dtype)
        real = np.zeros((len(tensors), height, width), bool)
        for row, tensor in enumerate(tensors):
            if tensor.shape[1] > height or tensor.shape[2] > width:
                raise InputError(
                    f"an image is {tensor.shape[1]} x {tensor.shape[2]} pixels after resizing",
                    expected=f"at most {height} x {width}, which the model takes",
                )
            batch[row, :, : tensor.shape[1], : tensor.shape[2]] = tensor
            real[row, : tensor.shape[1], : tensor.shape[2]] = True
        masks = {name: real.astype(dtype) for name, dtype in self._masks}
        return {self._name: batch, **masks}


def _resized(pixels: Array, spec: ImageSpec, number: int) -> Array:
    """Pixels of the size that the specification asks for; the same array where it has it."""
    resize = spec.resize or ResizeSpec(height=spec.height, width=spec.width)
    height, width = pixels.shape[:2]
    wanted = new_size(height, width, resize)
    if wanted == (height, width):
        return pixels
    if min(wanted) < 1 or math.prod(wanted) > MOST_PIXELS:
        raise InputError(
            f"image {number} is {height} x {width} pixels, which would become "
            f"{wanted[0]} x {wanted[1]}",
            expected="an image whose sides differ less",
        )
    if pixels.dtype != np.uint8:
        raise InputError(
            f"image {number} is {describe(pixels)}, which is not resized",
            expected=f"uint8, or {wanted[0]} x {wanted[1]} pixels",
        )
    image_module = pillow()
    image = image_module.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    resample = image_module.Resampling[resize.resample.upper()]
    made = np.asarray(image.resize((wanted[1], wanted[0]), resample))
    return made.reshape(*wanted, pixels.shape[2])


def new_size(height: int, width: int, resize: ResizeSpec) -> tuple[int, int]:
    """Rows and columns after resizing.

    Sizes are cut to whole pixels as transformers 5.23 does (`get_size_with_aspect_ratio` and
    `get_resize_output_image_size` of its image_transforms), so that tensors are the same.
    """
    if resize.kind == "exact":
        return resize.height, resize.width
    if resize.kind == "within":
        factor = min(resize.height / height, resize.width / width)
        return int(height * factor), int(width * factor)
    short, long = min(height, width), max(height, width)
    if resize.kind == "shortest":
        new_short, new_long = resize.shortest, int(resize.shortest * long / short)
    else:
        exact = float(resize.shortest)
        if long / short * resize.shortest > resize.longest:
            exact = resize.longest * short / long
        new_short = round(exact)
        # An image that has the size already stays as it is, even where `exact` was rounded.
        new_long = long if new_short == short else int(exact * long / short)
    new_short, new_long = (size - size % resize.multiple for size in (new_short, new_long))
    return (new_long, new_short) if width < height else (new_short, new_long)


def _cropped(pixels: Array, height: int, width: int) -> Array:
    """The middle of an image, with zeros around a smaller one."""
    rows, columns, channels = pixels.shape
    if (rows, columns) == (height, width):
        return pixels
    around = np.zeros((max(height, rows), max(width, columns), channels), pixels.dtype)
    top = math.ceil((around.shape[0] - rows) / 2)
    left = math.ceil((around.shape[1] - columns) / 2)
    around[top : top + rows, left : left + columns] = pixels
    top += (rows - height) // 2
    left += (columns - width) // 2
    return around[top : top + height, left : left + width]
