"""Image models from checkpoint to answers, beside the pipelines of transformers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from tests.export import image_checkpoints as checkpoints
from tests.pictures import picture
from toolkit import export, load
from toolkit.cli.main import main
from toolkit.errors import InputError, SetupError
from toolkit.export.checkpoint.image_processors import INPUTS, image_spec, load_processor
from toolkit.tasks import TaskOptions
from toolkit.tasks.image import ImageEncoder

pytestmark = pytest.mark.torch

SIZES = ((60, 90), (90, 50), (33, 33))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Pictures of three sizes, in color, gray and with transparency."""
    paths = []
    for number, (size, mode) in enumerate(zip(SIZES, ("RGB", "L", "RGBA"), strict=True)):
        image = Image.fromarray(picture(*size, number)).convert(mode)
        if mode == "RGBA":
            image.putalpha(100)
        paths.append(tmp_path / f"{number}.png")
        image.save(paths[-1])
    return paths


def opened(path: Path, **config: Any) -> Any:
    """What a builder gets, without a model."""
    settings = {"model_type": "vit", "num_channels": 3} | config
    files = SimpleNamespace(path=path, weights=(path / "model.safetensors",))
    return SimpleNamespace(files=files, config=SimpleNamespace(**settings))


PROCESSORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ViTImageProcessorPil", {"size": {"height": 24, "width": 40}}),
    ("ViTImageProcessorPil", {"size": {"height": 24, "width": 40}, "resample": 1}),
    ("ViTImageProcessorPil", {"size": {"height": 24, "width": 40}, "do_normalize": False}),
    ("ViTImageProcessorPil", {"size": {"height": 24, "width": 40}, "do_rescale": False}),
    ("ViTImageProcessorPil", {"size": {"max_height": 40, "max_width": 50}}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 33}, "crop_pct": 0.875}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
    (
        "MobileNetV2ImageProcessorPil",
        {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 31}},
    ),
    (
        "MobileNetV2ImageProcessorPil",  # the crop is larger than the image
        {"size": {"shortest_edge": 30}, "crop_size": {"height": 45, "width": 52}},
    ),
    ("CLIPImageProcessorPil", {"size": {"shortest_edge": 32}, "crop_size": 32}),
    ("DetrImageProcessorPil", {"size": {"shortest_edge": 64, "longest_edge": 100}}),
    (
        "DetrImageProcessorPil",
        {
            "size": {"shortest_edge": 64, "longest_edge": 100},
            "pad_size": {"height": 128, "width": 120},
        },
    ),
    ("YolosImageProcessorPil", {"size": {"shortest_edge": 64, "longest_edge": 100}}),
)


@pytest.mark.parametrize("name, settings", PROCESSORS)
def test_tensors_are_those_of_the_processor(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    getattr(transformers, name)(**settings).save_pretrained(tmp_path)
    processor = load_processor(opened(tmp_path))
    encoder = ImageEncoder(image_spec(processor, opened(tmp_path)), INPUTS)
    for number, size in enumerate(SIZES, start=1):
        image = Image.fromarray(picture(*size, number))
        theirs = processor(images=[image], return_tensors="np")
        ours = encoder([image], [number])
        np.testing.assert_allclose(ours["pixel_values"], theirs["pixel_values"], atol=1e-5)
        if "pixel_mask" in theirs:
            np.testing.assert_array_equal(ours["pixel_mask"], theirs["pixel_mask"])


def test_a_batch_of_several_sizes_is_padded_as_by_the_processor(tmp_path: Path) -> None:
    kind: Any = transformers.DetrImageProcessorPil
    kind(size={"shortest_edge": 64, "longest_edge": 100}).save_pretrained(tmp_path)
    processor = load_processor(opened(tmp_path))
    images = [Image.fromarray(picture(*size)) for size in SIZES]
    theirs = processor(images=images, return_tensors="np")
    ours = ImageEncoder(image_spec(processor, opened(tmp_path)), INPUTS)(images, [1, 2, 3])
    np.testing.assert_allclose(ours["pixel_values"], theirs["pixel_values"], atol=1e-5)
    np.testing.assert_array_equal(ours["pixel_mask"], theirs["pixel_mask"])


def test_a_processor_that_does_more_is_refused(tmp_path: Path) -> None:
    kind: Any = transformers.EfficientNetImageProcessorPil
    kind(size={"height": 24, "width": 24}, include_top=True).save_pretrained(tmp_path)
    processor = load_processor(opened(tmp_path, model_type="efficientnet"))
    with pytest.raises(InputError, match="its tensors differ by"):
        image_spec(processor, opened(tmp_path))


def test_without_a_processor_its_file_and_a_way_to_it_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no preprocessor_config\.json") as refused:
        load_processor(opened(tmp_path))
    assert "ViTImageProcessorPil().save_pretrained" in refused.value.fix


def test_a_broken_processor_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Magic"}')
    with pytest.raises(InputError, match=r"preprocessor_config\.json is no image processor"):
        load_processor(opened(tmp_path))


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SetupError, match="Pillow"):
        load_processor(opened(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        checkpoints.vit_checkpoint,
        checkpoints.resnet_checkpoint,
        checkpoints.mobilenet_checkpoint,
        checkpoints.convnext_checkpoint,
    ],
)
def test_classification_answers_as_the_pipeline_does(
    tmp_path: Path, files: list[Path], make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path / "checkpoint")
    report = export(source, tmp_path / "a.ortpackage")
    assert report.parity.max_abs_error <= 1e-4
    assert [shape["batch"] for shape in report.parity.shapes][:3] == [1, 3, 8]
    results = load(report.package)([str(file) for file in files])
    ask: Any = transformers.pipeline("image-classification", str(source))
    for file, result in zip(files, results, strict=True):
        wanted = {one["label"]: one["score"] for one in ask(str(file))}
        assert result["scores"] == pytest.approx(wanted, abs=1e-4)
        assert result["label"] == max(wanted, key=lambda label: wanted[label])
    assert len({result["score"] for result in results}) == 3  # answers do differ


@pytest.mark.slow
@pytest.mark.parametrize("make", [checkpoints.detr_checkpoint, checkpoints.yolos_checkpoint])
def test_detection_finds_the_boxes_of_the_pipeline(
    tmp_path: Path, files: list[Path], make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path / "checkpoint")
    report = export(source, tmp_path / "a.ortpackage")
    assert report.parity.max_abs_error <= 1e-4
    sizes = {(shape["height"], shape["width"]) for shape in report.parity.shapes}
    assert len(sizes) >= 4
    model = load(report.package, reading=TaskOptions(threshold=0.4, overlap=1.0))
    results = model([str(file) for file in files])
    ask: Any = transformers.pipeline("object-detection", str(source))
    for file, result in zip(files, results, strict=True):
        wanted = sorted(ask(str(file), threshold=0.4), key=lambda one: -one["score"])
        assert len(result["boxes"]) == len(wanted) > 0
        for ours, theirs in zip(result["boxes"], wanted, strict=True):
            assert ours["label"] == theirs["label"]
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
            edges = [theirs["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
            assert ours["box"] == pytest.approx(edges, abs=1.01)  # theirs are cut to whole pixels
    alone = [model(str(file)) for file in files]
    assert alone == results
    fewer = load(report.package)([str(file) for file in files])
    assert [len(one["boxes"]) for one in fewer] < [len(one["boxes"]) for one in results]


@pytest.mark.slow
def test_a_picture_is_one_of_the_candidates(tmp_path: Path, files: list[Path]) -> None:
    source = checkpoints.clip_checkpoint(tmp_path / "checkpoint")
    report = export(source, tmp_path / "a.ortpackage")
    assert report.parity.max_abs_error <= 1e-4
    labels = ["a film", "Anna in Toronto", "twenty minutes", "a sequel"]
    model = load(report.package, reading=TaskOptions(candidates=tuple(labels)))
    ask: Any = transformers.pipeline("zero-shot-image-classification", str(source))
    for file, result in zip(files, model([str(file) for file in files]), strict=True):
        found = ask(str(file), candidate_labels=labels)
        wanted = {one["label"]: one["score"] for one in found}
        assert result["scores"] == pytest.approx(wanted, abs=1e-4)
        assert result["label"] == found[0]["label"]
    # Candidates of an image's own, beside one with the others: as alone.
    own = {"image": str(files[0]), "labels": labels[1:3]}
    both = model([own, str(files[1])])
    assert both[0]["scores"] == pytest.approx(model(own)["scores"], abs=1e-6)
    assert set(both[1]["scores"]) == set(labels)
    with pytest.raises(InputError, match="no labels that image 1 could have"):
        load(report.package)(str(files[0]))


@pytest.mark.slow
def test_infer_shows_labels_and_boxes(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    makers = {"vit": checkpoints.vit_checkpoint, "yolos": checkpoints.yolos_checkpoint}
    for name, make in makers.items():
        export(make(tmp_path / name), tmp_path / f"{name}.ortpackage", exporter="torch")
    vit, yolos = (str(tmp_path / f"{name}.ortpackage") for name in makers)
    capsys.readouterr()
    assert main(["infer", vit, *map(str, files)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.count(",") == 1 and line.endswith(".png") for line in lines)
    assert main(["infer", yolos, str(files[0]), "--json", "--threshold", "0.1"]) == 0
    boxes = json.loads(capsys.readouterr().out)["results"][0]["boxes"]
    assert boxes
    assert main(["infer", yolos, str(files[0]), "--threshold", "0.1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(boxes)
    assert main(["infer", yolos, str(files[0]), "--threshold", "2"]) == 2
    assert main(["infer", yolos, str(tmp_path / "none.png")]) == 3
    assert "none.png cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_a_detector_of_another_kind_is_refused(tmp_path: Path) -> None:
    source = checkpoints.yolos_checkpoint(tmp_path / "checkpoint")
    file = source / "preprocessor_config.json"
    known = json.loads(file.read_text())
    known["image_processor_type"] = "ViTImageProcessor"
    known["size"] = {"height": 48, "width": 64}
    file.write_text(json.dumps(known))
    with pytest.raises(InputError, match="whose boxes a package cannot read"):
        export(source, tmp_path / "a.ortpackage")
