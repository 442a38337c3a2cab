"""What a user of a C bundle types first, and the file that it names."""

import csv
import shlex
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from toolkit.bundle.c_model import ordered, pixel_bytes
from toolkit.bundle.document import FOLDER, AppModel
from toolkit.bundle.examples import SHORT
from toolkit.tasks.specification import ImageSpec
from toolkit.tasks.tabular import Column, NumericColumn

RAW = "example.raw"
ROWS = "example.csv"
_GRAY = 128
"""A pixel of the example where no reference case has pixels."""


def write_example(model: AppModel, folder: Path) -> str:
    """The first reference item as arguments of `build/app`, in a file where it is long or binary.

    Args:
        model: What the program is told.
        folder: The bundle, with `model/` complete; `example.raw` or `example.csv` is written here.
    """
    item = model.self_test.cases[0].item
    if model.text is not None:
        if isinstance(item, list | tuple):
            return "--pair " + " ".join(shlex.quote(str(part)) for part in item)
        return shlex.quote(item if isinstance(item, str) else "a text of yours")
    if model.columns is not None:
        row = _row(model, item if isinstance(item, dict) else {})
        if len(row) <= SHORT:
            return shlex.quote(row)
        (folder / ROWS).write_text(row + "\n", encoding="utf-8")
        return f"< {ROWS}"
    content = _tensors(model, folder) if model.image is None else _pixels(model, model.image)
    (folder / RAW).write_bytes(content)
    return RAW


def _row(model: AppModel, item: Mapping[str, object]) -> str:
    """The cells in the order of the columns; what is missing is empty, as the program reads it."""
    cells = [item.get(column.name, "" if item else _any(column)) for column in model.columns or ()]
    line = StringIO()
    csv.writer(line, lineterminator="").writerow(cells)  # which writes None as an empty cell
    return line.getvalue()


def _any(column: Column) -> object:
    return 0 if isinstance(column, NumericColumn) else column.levels[0]


def _pixels(model: AppModel, image: ImageSpec) -> bytes:
    items = [case.item for case in model.self_test.cases if case.item is not None]
    return pixel_bytes(image, items[0] if items else _GRAY)


def _tensors(model: AppModel, folder: Path) -> bytes:
    """The inputs of the first case, one after another."""
    stored = (folder / FOLDER / model.self_test.file).read_bytes()
    inputs = ordered(model, model.self_test.cases[0])
    return b"".join(stored[one.offset : one.offset + one.bytes] for one in inputs)
