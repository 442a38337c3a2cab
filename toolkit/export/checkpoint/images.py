"""Models of images: classification, object detection, and images beside texts."""

from __future__ import annotations

import inspect
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.export.checkpoint.image_processors import image_spec, load_processor, picture
from toolkit.export.checkpoint.modules import Head
from toolkit.export.checkpoint.tokenizers import vocabulary_size, write_tokenizer
from toolkit.export.feeds import Dimensions, Sizes
from toolkit.export.parts import Shapes, TorchPart, TorchSource
from toolkit.export.torch_graph import first_line
from toolkit.tasks import DetectionSpec, ImageSpec, TaskSpec, TextSpec
from toolkit.tasks.detection import as_corners, best_labels
from toolkit.tasks.image import MASK
from toolkit.tensors import Array

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from toolkit.export.checkpoint import Opened

PIXELS = "pixel_values"
LOGITS, BOXES = "logits", "pred_boxes"
TEMPLATE = "This is a photo of {}."
"""What transformers' zero-shot pipeline makes of a candidate label."""

_BATCHES = (1, 3, 8)
_SIZES = ((96, 64), (75, 101), (128, 128), (112, 80))
"""Height and width at which a model that takes any is compared, rounded to what it takes."""
_TRACED = (64, 96)
_REFERENCES = 4
"""Pictures whose answers travel in the package. They are large, so they are few."""
_CANDIDATES = ("a cat", "two dogs", "a bird in the sky", "nothing at all")


def build(opened: Opened) -> TorchSource:
    """The module of an image model, its task and reference.

    Raises:
        InputError: The checkpoint has no image processor, or does something that a package cannot
            say.
        SetupError: Pillow is not installed.
    """
    if opened.task == "zero-shot-image-classification":
        return _zero_shot(opened)
    processor = load_processor(opened)
    image = image_spec(processor, opened)
    detects = opened.task == "object-detection"
    masked = detects and MASK in inspect.signature(opened.model.forward).parameters
    inputs = (PIXELS, MASK) if masked else (PIXELS,)
    make = partial(_feeds, image=image, inputs=inputs)
    if detects:
        _check_detections(opened, processor, make(_first(image, 2), 0))
    any_size = not (image.height and image.width)
    axes = {0: "batch", 2: "height", 3: "width"} if any_size else {0: "batch"}
    mask_axes = {0: "batch", 1: "height", 2: "width"} if any_size else {0: "batch"}
    part = TorchPart(
        module=Head(opened.model, inputs, (LOGITS, BOXES) if detects else (LOGITS,)),
        feeds=make(_first(image, _REFERENCES), 0),
        dimensions={PIXELS: axes, MASK: mask_axes} if masked else {PIXELS: axes},
        shapes=Shapes(traced=_first(image, 2), compared=_compared(image), make=make),
    )
    return _source(opened, part, _task(opened, image))


def _source(
    opened: Opened, part: TorchPart, task: TaskSpec, preprocessing: Path | None = None
) -> TorchSource:
    return TorchSource(
        kind="checkpoint",
        name=opened.files.path.resolve().name,
        sha256=opened.files.sha256,
        parts=(part,),
        task=task,
        exporters=("transformers", "torch", "optimum"),
        preprocessing=preprocessing,
        path=opened.files.path,
    )


def _task(opened: Opened, image: ImageSpec) -> TaskSpec:
    config = opened.config
    names = [str(config.id2label[i]) for i in range(len(config.id2label))]
    if opened.task == "object-detection":
        return TaskSpec(
            name=opened.task,
            labels=tuple(names),
            output=LOGITS,
            activation="softmax",
            image=image,
            detection=DetectionSpec(boxes=BOXES),
        )
    if config.problem_type == "regression":
        return TaskSpec(name=opened.task, output=LOGITS, image=image)
    several = config.problem_type == "multi_label_classification" or len(names) == 1
    return TaskSpec(
        name=opened.task,
        labels=tuple(_distinct(names)),
        output=LOGITS,
        activation="sigmoid" if several else "softmax",
        multi_label=several,
        image=image,
    )


def _distinct(names: list[str]) -> list[str]:
    """Labels that all differ: ImageNet has two kinds of "crane", whose scores are told apart."""
    counts = Counter(names)
    return [f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names)]


def _first(image: ImageSpec, batch: int) -> Sizes:
    """Sizes to trace with, and of the reference."""
    if image.height and image.width:
        return {"batch": batch}
    height, width = _rounded(_TRACED, image)
    return {"batch": batch, "height": height, "width": width}


def _compared(image: ImageSpec) -> tuple[Sizes, ...]:
    if image.height and image.width:
        return tuple({"batch": batch} for batch in _BATCHES)
    sizes = [_rounded(size, image) for size in _SIZES]
    return tuple(
        {"batch": batch, "height": height, "width": width}
        for batch, (height, width) in zip((*_BATCHES, 2), sizes, strict=True)
    )


def _rounded(size: tuple[int, int], image: ImageSpec) -> tuple[int, int]:
    multiple = image.resize.multiple if image.resize else 1
    return size[0] - size[0] % multiple, size[1] - size[1] % multiple


def _feeds(
    sizes: Sizes, seed: int, *, image: ImageSpec, inputs: tuple[str, ...]
) -> dict[str, Array]:
    """Pictures of these sizes; where there is a mask, some end before the tensor does."""
    rng = np.random.default_rng(seed)
    height, width = sizes.get("height", image.height), sizes.get("width", image.width)
    pictures = [picture(height, width, seed * 100 + i) for i in range(sizes["batch"])]
    values = np.stack(pictures).astype(np.float32)[..., : len(image.mode)] * np.float32(image.scale)
    values -= np.array(image.mean or 0, np.float32)
    values /= np.array(image.std or 1, np.float32)
    values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    if MASK not in inputs:
        return {PIXELS: values}
    mask = np.ones((sizes["batch"], height, width), np.int64)
    for row in range(1, sizes["batch"]):
        mask[row, rng.integers(height // 2, height + 1) :] = 0
        mask[row, :, rng.integers(width // 2, width + 1) :] = 0
    return {PIXELS: values * mask[:, None].astype(np.float32), MASK: mask}


def _check_detections(opened: Opened, processor: Any, feeds: dict[str, Array]) -> None:
    """Whether boxes are read from the outputs as transformers does, before any is left out."""
    rows = len(feeds[PIXELS])
    sizes = [(100 + row, 200) for row in range(rows)]  # height, width
    try:
        with torch.no_grad():
            returned = opened.model(**{k: torch.from_numpy(v) for k, v in feeds.items()})
        theirs = processor.post_process_object_detection(
            returned, threshold=0.0, target_sizes=sizes
        )
        logits, boxes = returned[LOGITS].numpy(), returned[BOXES].numpy()
    except Exception as error:  # whatever another kind of detector raises
        raise _other_detector(opened, first_line(error)) from error
    for row, (height, width) in enumerate(sizes):
        labels, scores = best_labels(logits[row])
        corners = as_corners(boxes[row]) * np.array([width, height, width, height], np.float32)
        found = theirs[row]
        if found["scores"].shape != scores.shape or not (
            np.allclose(found["scores"], scores, atol=1e-5)
            and np.allclose(found["boxes"], corners, atol=1e-3)
            and np.array_equal(found["labels"], labels)
        ):
            raise _other_detector(opened, "it reads other boxes from the same outputs")


def _other_detector(opened: Opened, why: str) -> InputError:
    return InputError(
        f"{opened.files.path} is a detector ({opened.config.model_type}) whose boxes a package "
        f"cannot read: {why}",
        expected="one box a query and a softmax over the labels and 'nothing', as DETR and YOLOS "
        "have",
    )


def _zero_shot(opened: Opened) -> TorchSource:
    """An image and texts in one graph, as CLIP has them."""
    if opened.config.model_type != "clip":
        raise InputError(
            f"{opened.files.path} is a {opened.config.model_type} model",
            expected="clip: the one that is known here for zero-shot image classification",
        )
    image = image_spec(load_processor(opened), opened)
    if not (image.height and image.width):
        raise InputError(
            f"the image processor of {opened.files.path} gives every picture its own size",
            expected="one size, which the model's position embeddings are made for",
        )
    preprocessing = opened.work / "preprocessing"
    tokenizer, text = write_tokenizer(opened, preprocessing)
    inputs = (PIXELS, "input_ids", "attention_mask")
    make = partial(_pairs, image=image, text=text, config=opened.config)
    texts = {0: "texts", 1: "sequence"}
    dimensions: Dimensions = {PIXELS: {0: "batch"}, "input_ids": texts, "attention_mask": texts}
    part = TorchPart(
        module=Head(opened.model, inputs, ("logits_per_image", "image_embeds", "text_embeds")),
        feeds={
            **_feeds({"batch": _REFERENCES}, 0, image=image, inputs=(PIXELS,)),
            **_tokens(tokenizer, text),
        },
        dimensions=dimensions,
        shapes=Shapes(
            traced={"batch": 2, "texts": 3, "sequence": 7},
            compared=tuple(
                {"batch": batch, "texts": texts, "sequence": min(length, text.max_length)}
                for batch, texts, length in ((1, 1, 4), (3, 8, 17), (8, 3, 128), (1, 5, 6))
            ),
            make=make,
        ),
    )
    task = TaskSpec(
        name=opened.task,
        output="logits_per_image",
        activation="softmax",
        text=text,
        image=image,
        template=TEMPLATE,
    )
    return _source(opened, part, task, preprocessing)


def _tokens(tokenizer: Tokenizer, text: TextSpec) -> dict[str, Array]:
    """int64[texts, sequence] of some candidates, padded on the right as `infer` will make them."""
    tokenizer.enable_truncation(text.max_length)
    tokenizer.enable_padding(pad_id=text.pad_id, pad_token=text.pad_token)
    encodings = tokenizer.encode_batch([TEMPLATE.replace("{}", name) for name in _CANDIDATES])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return {
        "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
        "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
    }


def _pairs(
    sizes: Sizes, seed: int, *, image: ImageSpec, text: TextSpec, config: Any
) -> dict[str, Array]:
    """Pictures, and random tokens that end with the end token, padded on the right."""
    rng = np.random.default_rng(seed)
    shape = (sizes["texts"], sizes["sequence"])
    ids = rng.integers(0, vocabulary_size(config), shape)
    end = config.get_text_config().eos_token_id
    ids[ids == end] = (end or 0) - 1 if end else 0
    mask = np.ones(shape, np.int64)
    for row in range(shape[0]):
        length = int(rng.integers(2, shape[1] + 1))
        mask[row, length:] = 0
        ids[row, length:] = text.pad_id
        ids[row, length - 1] = end
    pictures = _feeds(sizes, seed, image=image, inputs=(PIXELS,))
    return {**pictures, "input_ids": ids, "attention_mask": mask}
