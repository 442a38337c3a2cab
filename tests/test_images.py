"""Images to tensors, and boxes out of them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import picture
from toolkit.errors import InputError, SetupError
from toolkit.inputs import file_items, read_feed
from toolkit.tasks import DetectionSpec, ImageSpec, ResizeSpec, TaskOptions, TaskSpec, open_task
from toolkit.tasks.detection import without_overlaps
from toolkit.tasks.image import ImageEncoder, new_size
from toolkit.tasks.image_files import read_pixels
from toolkit.tensors import Array, TensorSpec

INPUTS = (
    TensorSpec(name="pixel_values", dtype="float32", shape=("batch", 3, "height", "width")),
    TensorSpec(name="pixel_mask", dtype="int64", shape=("batch", "height", "width")),
)
EXACT = ImageSpec(height=6, width=8)
EDGES = ImageSpec(height=0, width=0, resize=ResizeSpec(kind="edges", shortest=32, longest=48))


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGBA"])
def test_any_mode_becomes_rgb_as_pillow_converts_it(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(picture(20, 30)).convert(mode)
    file = saved(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), image)
    pixels = read_pixels(file, "RGB")
    assert pixels.shape == (20, 30, 3)
    with Image.open(file) as opened:
        assert np.array_equal(pixels, np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_of_16_bits_the_upper_8_are_kept(tmp_path: Path, name: str) -> None:
    levels = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    file = saved(tmp_path / name, Image.fromarray(levels))
    assert read_pixels(file, "L").tolist() == [[0, 0, 1], [128, 254, 255]]
    assert read_pixels(file, "RGB").shape == (2, 3, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_32_bits_are_refused(tmp_path: Path, dtype: Any) -> None:
    file = saved(tmp_path / "a.tif", Image.fromarray(np.ones((2, 2), dtype)))
    with pytest.raises(InputError, match="pixels of 32 bits"):
        read_pixels(file, "RGB")


def test_a_picture_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    file = saved(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    turned = read_pixels(file, "L")
    assert turned.shape == (32, 16)
    assert turned[:16].min() == 255
    assert turned[16:].max() == 0


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.png", Image.fromarray(picture(64, 64))).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.png cannot be read"):
        read_pixels(tmp_path / "cut.png", "RGB")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png cannot be read: No such file"):
        read_pixels(tmp_path / "none.png", "RGB")


def test_a_picture_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path / "a.png", Image.fromarray(picture(30, 30)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"a\.png is too large"):
        read_pixels(file, "RGB")


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SetupError, match="Pillow") as refused:
        ImageEncoder(EXACT, INPUTS[:1])([Path("a.png")], [1])
    assert "[image]" in refused.value.fix


def test_without_pillow_arrays_of_the_right_size_go_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    feeds = ImageEncoder(EXACT, INPUTS[:1])([picture(6, 8)], [1])
    assert feeds["pixel_values"].shape == (1, 3, 6, 8)


def test_files_arrays_and_pillows_images_are_the_same(tmp_path: Path) -> None:
    pixels = picture(20, 30)
    file = saved(tmp_path / "a.png", Image.fromarray(pixels))
    items = [file, str(file), pixels, Image.fromarray(pixels)]
    tensors = ImageEncoder(EXACT, INPUTS[:1])(items, range(1, 5))["pixel_values"]
    assert all(np.array_equal(tensor, tensors[0]) for tensor in tensors[1:])


def test_a_gray_array_has_three_equal_channels() -> None:
    feeds = ImageEncoder(EXACT, INPUTS[:1])([picture(6, 8)[:, :, 0]], [1])
    (image,) = feeds["pixel_values"]
    assert np.array_equal(image[0], image[2])


def test_smaller_images_of_a_batch_are_filled_up_and_masked() -> None:
    feeds = ImageEncoder(EDGES, INPUTS)([picture(32, 40), picture(48, 32)], [1, 2])
    assert feeds["pixel_values"].shape == (2, 3, 48, 40)
    assert feeds["pixel_values"][0, :, 32:].max() == 0
    assert feeds["pixel_mask"].sum(axis=(1, 2)).tolist() == [32 * 40, 48 * 32]


def test_a_picture_that_is_a_line_is_refused() -> None:
    image = ImageSpec(
        height=0, width=0, resize=ResizeSpec(kind="edges", shortest=32, longest=48, multiple=16)
    )
    with pytest.raises(InputError, match="1 x 300 pixels, which would become 0 x"):
        ImageEncoder(image, INPUTS)([picture(1, 300)], [1])
    narrow = ImageSpec(height=8, width=8, resize=ResizeSpec(kind="shortest", shortest=224))
    with pytest.raises(InputError, match="would become 224 x 1120000"):
        ImageEncoder(narrow, INPUTS)([np.zeros((1, 5000, 3), np.uint8)], [1])


@pytest.mark.parametrize(
    "resize, size, wanted",
    [
        (ResizeSpec(kind="shortest", shortest=36), (90, 60), (54, 36)),
        (ResizeSpec(kind="edges", shortest=800, longest=1333), (480, 640), (800, 1066)),
        (ResizeSpec(kind="edges", shortest=800, longest=1333), (480, 1280), (500, 1333)),
        (
            ResizeSpec(kind="edges", shortest=800, longest=1333, multiple=16),
            (640, 480),
            (1056, 800),
        ),
        (ResizeSpec(kind="within", height=50, width=50), (100, 200), (25, 50)),
        (ResizeSpec(kind="exact", height=5, width=7), (100, 200), (5, 7)),
    ],
)
def test_the_new_size(resize: ResizeSpec, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert new_size(*size, resize) == wanted


def test_an_image_in_a_data_file_lies_beside_it(tmp_path: Path) -> None:
    spec = TaskSpec(name="image-classification", image=EXACT)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('"a.png"\n{"image": "b.png", "label": "cat"}\n')
    assert file_items(lines, "jsonl", spec) == [tmp_path / "a.png", tmp_path / "b.png"]
    lines.write_text('{"file": "a.png"}')
    with pytest.raises(InputError, match="entry 1"):
        file_items(lines, "jsonl", spec)


def test_an_image_is_a_tensor_too(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.png", Image.fromarray(picture(5, 4)))
    spec = TensorSpec(name="image", dtype="uint8", shape=(1, "height", "width", 3))
    assert np.array_equal(read_feed(file, spec)[0], picture(5, 4))


def brute_force(boxes: Array, scores: Array, labels: Array, limit: float) -> list[int]:
    """Each box against every more certain one that stayed, by the definition."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for j in kept:
            shared = 1.0
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[j])]
            for axis in (0, 1):
                shared *= max(
                    0.0,
                    min(boxes[i][axis + 2], boxes[j][axis + 2])
                    - max(boxes[i][axis], boxes[j][axis]),
                )
            covered = sum(areas) - shared
            if labels[i] == labels[j] and covered > 0 and shared / covered > limit:
                break
        else:
            kept.append(i)
    return kept


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_suppression_keeps_what_its_definition_says(seed: int, count: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 6, (count, 2, 2)).astype(np.float64)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    scores = rng.integers(0, 5, count) / 5
    labels = rng.integers(0, 2, count)
    found = without_overlaps(boxes, scores, labels, limit=limit)
    assert found == brute_force(boxes, scores, labels, limit)


def detector(**options: Any) -> Any:
    spec = TaskSpec(
        name="object-detection",
        labels=("cat", "dog"),
        output="logits",
        image=EDGES,
        detection=DetectionSpec(boxes="pred_boxes"),
    )
    return open_task(spec, None, INPUTS, TaskOptions(**options))


OUTPUTS = {
    "logits": np.log(
        np.array(
            [[[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.2, 0.2, 0.6]]], np.float32
        )
    ),
    "pred_boxes": np.array(
        [[[0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.36], [0.1, 0.1, 0.1, 0.1]]],
        np.float32,
    ),
}


def test_boxes_are_in_pixels_of_the_original_image() -> None:
    task = detector()
    batch = task.prepare([picture(100, 200)])
    (result,) = task.decode(OUTPUTS, batch)
    assert [(one["label"], round(one["score"], 4)) for one in result["boxes"]] == [
        ("cat", 0.9),
        ("dog", 0.8),
    ]
    assert result["boxes"][0]["box"] == pytest.approx([80, 30, 120, 70], abs=1e-4)


def test_threshold_and_overlap_choose_the_boxes() -> None:
    batch = detector().prepare([picture(100, 200)])
    every = detector(overlap=1.0).decode(OUTPUTS, batch)[0]["boxes"]
    assert [round(one["score"], 4) for one in every] == [0.9, 0.8, 0.6]
    certain = detector(threshold=0.85).decode(OUTPUTS, batch)[0]["boxes"]
    assert len(certain) == 1
    with pytest.raises(InputError, match="threshold is 2"):
        detector(threshold=2)
