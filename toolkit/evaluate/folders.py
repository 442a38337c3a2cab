"""A folder of images as data: the sub-folders are the labels."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import InputError
from toolkit.tasks import TaskSpec

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def image_rows(folder: Path, task: TaskSpec) -> tuple[list[Mapping[str, Any]], str]:
    """The images below a folder in the order of their paths, and a digest of names and contents.

    Args:
        folder: Holds images (`image`), or folders of images that are called as their label is
            (`label`, and `image`).
        task: Must read images.

    Raises:
        InputError: The model reads no images, or there are none; or some stand in a folder of a
            label and others do not.
    """
    if task.image is None:
        raise InputError(
            f"{folder} is a folder, and this model reads no images",
            expected="a data set: .csv, .jsonl, .csv.gz, .jsonl.gz or .npz",
            fix="--data FILE.csv",
        )
    files = sorted(
        (file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()),
        key=lambda file: file.relative_to(folder).as_posix(),
    )
    if not files:
        raise InputError(f"{folder} holds no image", expected=f"files {', '.join(sorted(ENDINGS))}")
    depths = {len(file.relative_to(folder).parts) for file in files}
    if depths not in ({1}, {2}):
        raise InputError(
            f"{folder} holds images at several depths",
            expected="images, or one folder of images for each label",
        )
    digest = hashlib.sha256()
    rows: list[Mapping[str, Any]] = []
    for file in files:
        name = file.relative_to(folder)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content}  {name.as_posix()}\n".encode())
        label = {"label": name.parts[0]} if depths == {2} else {}
        rows.append({"image": str(file.resolve()), **label})
    return rows, digest.hexdigest()
