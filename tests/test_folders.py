"""Folders of images, and arrays of plain tensors, as data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import picture
from toolkit.errors import InputError
from toolkit.evaluate.samples import SampleOptions, read_samples, stacked
from toolkit.tasks import ImageSpec, TaskSpec
from toolkit.tensors import TensorSpec

TASK = TaskSpec(
    name="image-classification", labels=("cat", "dog"), image=ImageSpec(height=8, width=8)
)
INPUTS = (TensorSpec(name="x", dtype="float32", shape=("batch", 3)),)


def fill(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(8, 8, number)).save(folder / name)
    return folder


def test_the_folders_of_images_are_their_labels(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", "dog/b.png", "cat/a.png", "cat/c.png")
    (folder / "cat" / "notes.txt").write_text("no image")
    samples = read_samples(folder, TASK)
    assert [*(samples.targets or ())] == [0, 0, 1]
    assert [Path(str(item)).name for item in samples.items] == ["a.png", "c.png", "b.png"]


def test_the_digest_of_a_folder_is_of_its_contents(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "cat/a.png", "dog/b.png")
    other = fill(tmp_path / "other", "cat/a.png", "dog/b.png")
    digest = read_samples(one, TASK).sha256
    assert read_samples(other, TASK).sha256 == digest
    Image.fromarray(picture(8, 8, 77)).save(other / "dog" / "b.png")
    assert read_samples(other, TASK).sha256 != digest


def test_images_without_folders_have_no_label(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", "b.png", "a.png")
    assert read_samples(folder, TASK, SampleOptions(labels=False)).targets is None
    with pytest.raises(InputError, match="no label column"):
        read_samples(folder, TASK)


def test_folders_that_do_not_fit_are_described(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        read_samples(tmp_path / "empty", TASK)
    mixed = fill(tmp_path / "mixed", "a.png", "cat/b.png")
    with pytest.raises(InputError, match="several depths"):
        read_samples(mixed, TASK)
    with pytest.raises(InputError, match="'bird'"):
        read_samples(fill(tmp_path / "birds", "bird/a.png"), TASK)
    with pytest.raises(InputError, match="reads no images"):
        read_samples(mixed, TaskSpec(name="text-classification", labels=("a", "b")))


def test_rows_of_arrays_become_feeds(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((4, 3), np.float32), other=np.arange(4))
    samples = read_samples(
        tmp_path / "data.npz", TaskSpec(name="tensors"), SampleOptions(labels=False)
    )
    feeds = stacked(samples.items[:2], INPUTS)
    assert {name: value.shape for name, value in feeds.items()} == {"x": (2, 3)}


@pytest.mark.parametrize(
    "array, fact",
    [
        (np.ones((4, 5), np.float32), "'x'"),
        (np.ones((4, 3), np.float64), "float64"),
        (None, "no array 'x'"),
    ],
)
def test_arrays_that_do_not_fit_are_described(array: object, fact: str) -> None:
    items = [{"x": row} for row in array] if isinstance(array, np.ndarray) else [{"y": 1}]
    with pytest.raises(InputError) as refused:
        stacked(items, INPUTS)
    assert fact in refused.value.problem
