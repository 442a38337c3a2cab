"""A checkpoint's image processor as an image specification, checked against it."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from toolkit.errors import InputError
from toolkit.export.libraries import quiet
from toolkit.export.torch_graph import first_line
from toolkit.tasks.image import MASK, ImageEncoder
from toolkit.tasks.image_files import pillow
from toolkit.tasks.specification import ImageSpec, Resample, ResizeSpec
from toolkit.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from toolkit.export.checkpoint import Opened

PROCESSOR = "preprocessor_config.json"
LIMIT = 1e-5
"""Most that a tensor of ours may differ from one of transformers'."""

_SIZES = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width")
_CROPPED_BELOW = 384
"""ConvNeXT's processor stretches to sizes from here on, and crops smaller ones."""
_FILTERS: tuple[Resample, ...] = get_args(Resample)
_CHECKED = ((60, 90), (90, 50), (41, 41), (300, 200))
"""Height and width of the pictures that both are asked about."""

INPUTS = (
    TensorSpec(name="pixel_values", dtype="float32", shape=("batch", 3, "height", "width")),
    TensorSpec(name=MASK, dtype="int64", shape=("batch", "height", "width")),
)


def picture(height: int, width: int, seed: int) -> Array:
    """uint8[height, width, 3]: gradients with a rectangle, a disc and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    slopes = (rows / height, columns / width, (rows + columns) / (height + width))
    image = 255 * np.stack([slopes[i] for i in rng.permutation(3)], axis=2)
    top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
    image[top : top + height // 3, left : left + width // 3] = rng.integers(0, 256, 3)
    center = rng.uniform(0.2, 0.8, 2) * (height, width)
    disc = np.hypot(rows - center[0], columns - center[1]) < min(height, width) / 5
    image[disc] = rng.integers(0, 256, 3)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def load_processor(opened: Opened) -> Any:
    """The checkpoint's image processor, as Pillow and numpy compute it.

    Raises:
        InputError: The checkpoint has none, or one that transformers does not know.
        SetupError: Pillow is not installed.
    """
    pillow()
    import transformers

    automatic: Any = transformers.AutoImageProcessor
    directory = opened.files.path
    if not any((directory / name).is_file() for name in (PROCESSOR, "processor_config.json")):
        raise InputError(
            f"{directory} has no {PROCESSOR}: nothing says how a picture becomes numbers",
            expected=f"{PROCESSOR}, which lies beside {opened.files.weights[0].name} where the "
            "checkpoint is from",
            fix=f"copy it, or write it: {_processor_of(opened)}().save_pretrained('{directory}')",
        )
    try:
        with quiet():
            # The other kind, of torchvision, resizes a little differently and cannot be equaled.
            chosen = {"backend": "pil"} if _has_backends() else {"use_fast": False}
            return automatic.from_pretrained(
                directory, **chosen, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # whatever a broken file raises
        raise InputError(
            f"{directory / PROCESSOR} is no image processor: {first_line(error)}",
            expected="an image_processor_type that transformers has for Pillow, with its keys",
        ) from error


def _has_backends() -> bool:
    """Whether this transformers chooses by `backend`, as from 5 on; `use_fast` before."""
    return find_spec("transformers.image_processing_backends") is not None


def _processor_of(opened: Opened) -> str:
    """The processor that transformers has for models of this kind."""
    from transformers.models.auto import image_processing_auto

    names: Any = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES  # type: ignore[attr-defined]  # no public way
    known = names.get(opened.config.model_type) or {}
    return f"transformers.{known.get('pil') or 'AutoImageProcessor.from_pretrained(BASE)'}"


def image_spec(processor: Any, opened: Opened) -> ImageSpec:
    """What the processor does, which was compared with it on pictures of four sizes.

    Raises:
        InputError: It does something that a package does not say.
    """
    config = getattr(opened.config, "vision_config", opened.config)
    gray = getattr(config, "num_channels", 3) == 1
    does = {
        step: bool(getattr(processor, f"do_{step}", False))
        for step in ("resize", "center_crop", "rescale", "normalize", "pad")
    }
    resize, cropped = _resizing(processor) if does["resize"] else (None, None)
    if does["center_crop"]:
        cropped = (processor.crop_size["height"], processor.crop_size["width"])
    padded = getattr(processor, "pad_size", None) if does["pad"] else None
    height, width = (0, 0)
    if padded is not None:
        height, width = padded["height"], padded["width"]
    elif cropped is not None:
        height, width = cropped
    elif resize is not None and resize.kind == "exact":
        height, width = resize.height, resize.width
    if resize is None:
        raise _unknown(processor, opened, "it does not resize")
    spec = ImageSpec(
        height=height,
        width=width,
        mode="L" if gray else "RGB",
        scale=float(processor.rescale_factor) if does["rescale"] else 1.0,
        mean=_per_channel(processor.image_mean, gray) if does["normalize"] else (),
        std=_per_channel(processor.image_std, gray) if does["normalize"] else (),
        resize=resize,
        fill="pad" if padded is not None else "crop",
    )
    _check(processor, spec, opened)
    return spec


def _resizing(processor: Any) -> tuple[ResizeSpec, tuple[int, int] | None]:
    """How an image is resized, and to what it is cropped at once."""
    size = {name: int(processor.size.get(name) or 0) for name in _SIZES}
    shortest, longest = size["shortest_edge"], size["longest_edge"]
    make = partial(
        ResizeSpec,
        resample=_FILTERS[int(2 if processor.resample is None else processor.resample)],
    )
    if getattr(processor, "crop_pct", None) and shortest:  # ConvNeXT's
        if shortest >= _CROPPED_BELOW:
            return make(kind="exact", height=shortest, width=shortest), None
        larger = int(shortest / processor.crop_pct)
        return make(kind="shortest", shortest=larger), (shortest, shortest)
    if shortest and longest:
        # YOLOS' own sizes are multiples of its patches; nothing in the file says so.
        multiple = 16 if "Yolos" in type(processor).__name__ else 1
        return make(kind="edges", shortest=shortest, longest=longest, multiple=multiple), None
    if shortest:
        return make(kind="shortest", shortest=shortest), None
    if size["max_height"] and size["max_width"]:
        return make(kind="within", height=size["max_height"], width=size["max_width"]), None
    return make(kind="exact", height=size["height"], width=size["width"]), None


def _per_channel(value: Any, gray: bool) -> tuple[float, ...]:
    if isinstance(value, (int, float)):
        return (float(value),) * (1 if gray else 3)
    return tuple(float(one) for one in value)


def _check(processor: Any, spec: ImageSpec, opened: Opened) -> None:
    """Compare our tensors with the processor's."""
    encoder = ImageEncoder(spec, INPUTS)
    worst = 0.0
    for number, (height, width) in enumerate(_CHECKED, start=1):
        image = pillow().fromarray(picture(height, width, number)).convert(spec.mode)
        ours = encoder([image], [number])
        try:
            with quiet():
                theirs = processor(images=[image], return_tensors="np")
        except Exception as error:  # whatever a misfit of settings raises
            raise _unknown(processor, opened, f"it fails: {first_line(error)}") from error
        for name, tensor in ours.items():
            other = theirs.get(name)
            if other is None:  # a mask, which not every processor makes
                continue
            if other.shape != tensor.shape:
                why = f"a picture of {height} x {width} becomes {[*other.shape]}"
                raise _unknown(processor, opened, f"{why}, not {[*tensor.shape]}")
            worst = max(worst, float(np.abs(other - tensor).max()))
    if not worst <= LIMIT:
        raise _unknown(processor, opened, f"its tensors differ by {worst:.2g}")


def _unknown(processor: Any, opened: Opened, why: str) -> InputError:
    return InputError(
        f"{opened.files.path / PROCESSOR} names {type(processor).__name__}, which does something "
        f"else than a package can say: {why}",
        expected="resizing, then a center crop or padding, rescaling and normalizing, and nothing "
        "besides",
    )
