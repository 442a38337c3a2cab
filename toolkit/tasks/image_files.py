"""Image files to pixels: the one place that decodes them, by Pillow."""

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypeGuard

import numpy as np

from toolkit.errors import InputError, SetupError
from toolkit.tensors import Array

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
"""Endings that are taken for images where other files could be meant too."""


def pillow() -> ModuleType:
    """The module `PIL.Image`.

    Raises:
        SetupError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise SetupError(
            "Pillow, which reads images, is not installed",
            fix="pip install 'onnx-edge-toolkit[image]'",
        ) from error
    return Image


def is_pillows(item: object) -> TypeGuard["Image"]:
    """Whether something is an open image of Pillow's, which has been imported then."""
    loaded = sys.modules.get("PIL.Image")
    return loaded is not None and isinstance(item, loaded.Image)


def read_pixels(file: Path, mode: Literal["L", "RGB"]) -> Array:
    """Pixels of an image file as a viewer shows it, turned as its EXIF data say.

    Gray, palette and CMYK images are converted as Pillow does; of 16 bits a channel the upper 8
    are kept; transparency is dropped; of an animation, the first picture is taken.

    Args:
        file: The file, in any format that Pillow knows.
        mode: "L" for gray, "RGB" for colors.

    Returns:
        uint8[height, width], or uint8[height, width, 3] for "RGB".

    Raises:
        SetupError: Pillow is not installed.
        InputError: The file is missing, no image, damaged, or has pixels of 32 bits.
    """
    image_module = pillow()
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with image_module.open(file) as image:
            return converted(ImageOps.exif_transpose(image), mode, str(file))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{file} is no image that Pillow knows", expected="a .png, .jpg or other image file"
        ) from error
    except image_module.DecompressionBombError as error:
        raise InputError(f"{file} is too large: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for a damaged file
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read: {reason}") from error


def converted(image: "Image", mode: Literal["L", "RGB"], name: str) -> Array:
    """Pixels of an open image; see `read_pixels`.

    Args:
        image: Pillow's image.
        mode: "L" or "RGB".
        name: What messages call it.

    Raises:
        InputError: Its pixels have 32 bits, whose range nobody knows.
    """
    if image.mode.startswith("I;16"):  # Pillow itself would make all above 255 white
        image = pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise InputError(
            f"{name} has pixels of 32 bits (Pillow's mode {image.mode})",
            expected="8 or 16 bits a channel",
            fix="save it with 8 bits a channel, scaled as the model was trained with",
        )
    return np.asarray(image.convert(mode))
