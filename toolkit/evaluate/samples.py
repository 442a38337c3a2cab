"""A user's own data: items and their labels from CSV, JSON lines or npz files."""

import csv
import gzip
import hashlib
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.decisions import has_metric
from toolkit.evaluate.folders import image_rows
from toolkit.inputs import text_lines
from toolkit.npz import read_npz
from toolkit.tasks import Item, TaskSpec
from toolkit.tensors import Array, TensorSpec, check_feeds

Row = Mapping[str, Any]


class NoLabelsError(InputError):
    """Data without the labels that were to be read."""


LABEL_COLUMNS = ("label", "target")
QUESTION_COLUMNS = ("question", "context")
TEXT_COLUMNS = ("text", "sentence", "review")
PAIR_COLUMNS = (("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"))
"""Found by name, where no text column is named."""
SEPARATORS = ("|", ",")
"""Between the labels of an item that has several."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Items with what is known of them.

    Attributes:
        items: Texts, rows or images.
        targets: One label index or one number an item, or one 0 or 1 a label where an item may have
            several; None where the data has no labels.
        columns: Every other column as text, for grouping.
        sha256: Digest of the file that they were read from.
    """

    items: tuple[Item, ...]
    targets: tuple[float | tuple[int, ...], ...] | None
    columns: Mapping[str, tuple[str, ...]]
    sha256: str

    def __len__(self) -> int:
        return len(self.items)

    def head(self, count: int, *, seed: int) -> "Samples":
        """At most `count` samples, drawn with a seed, in their old order."""
        if count >= len(self):
            return self
        rng = np.random.default_rng(seed)
        return self.take(sorted(rng.choice(len(self), count, replace=False).tolist()))

    def take(self, positions: Sequence[int]) -> "Samples":
        """The samples at these positions."""
        targets = self.targets
        return Samples(
            items=tuple(self.items[i] for i in positions),
            targets=None if targets is None else tuple(targets[i] for i in positions),
            columns={
                name: tuple(values[i] for i in positions) for name, values in self.columns.items()
            },
            sha256=self.sha256,
        )


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How a data file is read.

    Attributes:
        text_column: The column that holds the text; found by name when empty.
        label_column: The column that holds the label or the value; found by name when empty.
        where: Keep only rows whose column has this value.
        labels: Whether the data must have labels.
    """

    text_column: str = ""
    label_column: str = ""
    where: Mapping[str, str] | None = None
    labels: bool = True


def read_samples(file: Path, task: TaskSpec, options: SampleOptions | None = None) -> Samples:
    """The samples of a data file, as the task takes them.

    Args:
        file: .csv, .jsonl (both also .gz), .npz with an array a graph input and one of labels, or a
            folder of images; see `image_rows`.
        task: What the model is for.
        options: Columns, filter, and whether labels must be there.

    Raises:
        InputError: The file is missing, empty, of another format, has no such column, or a label
            that the model does not have.
    """
    options = options or SampleOptions()
    rows, digest = _rows_with_digest(file, task)
    _check_where(file, rows, options)
    if options.where:
        rows = [row for row in rows if all(str(row.get(k)) == v for k, v in options.where.items())]
    if not rows:
        kept = " after --where" if options.where else ""
        raise InputError(f"{file} holds no row{kept}", expected="at least one row")
    label_column = _label_column(file, rows[0], options) if has_metric(task) else ""
    items, used = _items(file, rows, task, options)
    targets = None
    if label_column:
        targets = tuple(
            _target(row.get(label_column), task, file, i) for i, row in enumerate(rows, start=1)
        )
    others = [name for name in rows[0] if name not in {*used, label_column}]
    columns = {
        name: tuple(str(row.get(name, "")) for row in rows)
        for name in others
        if not isinstance(rows[0][name], np.ndarray)
    }
    return Samples(items=items, targets=targets, columns=columns, sha256=digest)


def _rows_with_digest(file: Path, task: TaskSpec) -> tuple[list[Row], str]:
    if file.is_dir():
        return image_rows(file, task)
    raw = _read(file)
    rows = _array_rows(file, raw) if file.suffix == ".npz" else read_rows(file, raw)
    return [*rows], hashlib.sha256(raw).hexdigest()


def _check_where(file: Path, rows: Sequence[Row], options: SampleOptions) -> None:
    for name in options.where or {}:
        if rows and not any(name in row for row in rows):
            raise InputError(
                f"{file} has no column {name!r} for --where",
                expected=f"one of {', '.join(rows[0])}",
            )


def read_rows(file: Path, raw: bytes | None = None) -> Iterator[Row]:
    """The rows of a CSV or JSON lines file, one mapping a row.

    Raises:
        InputError: The file is missing, or a line is not what its ending says.
    """
    content = _read(file) if raw is None else raw
    suffixes = file.suffixes
    if suffixes and suffixes[-1] == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise InputError(f"{file} is no gzip file: {error}") from error
        suffixes = suffixes[:-1]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error}") from error
    kind = suffixes[-1] if suffixes else ""
    if kind == ".csv":
        return csv_rows(file, text)
    if kind in {".jsonl", ".ndjson"}:
        return _json_rows(file, text)
    raise InputError(
        f"{file} is of no format that is known here",
        expected=".csv, .jsonl, .csv.gz, .jsonl.gz or .npz",
        fix="--data FILE.csv",
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}",
            expected="a data set: .csv, .jsonl, .csv.gz, .jsonl.gz or .npz",
            fix="--data FILE.csv",
        ) from error


def csv_rows(file: Path, text: str) -> Iterator[Row]:
    """The rows of CSV text with a head.

    Args:
        file: Where the text came from, for messages.
        text: The text.

    Raises:
        InputError: A line does not fit the head.
    """
    csv.field_size_limit(sys.maxsize >> 1 if sys.platform != "win32" else 2**31 - 1)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(
                    f"{file}, line {reader.line_num} has another number of fields than its head",
                    expected=", ".join(reader.fieldnames or ()),
                )
            yield row
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: {error}") from error


def _json_rows(file: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text_lines(text), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{file}, line {number} is no JSON: {error}") from error
        if isinstance(value, str):
            value = {"text": value}
        if not isinstance(value, dict):
            raise InputError(
                f"{file}, line {number} is {type(value).__name__}",
                expected='an object such as {"text": "...", "label": "..."}, or a string',
            )
        yield value


def _array_rows(file: Path, raw: bytes) -> Iterator[Row]:
    columns = read_npz(file, raw)
    sizes = {name: len(values) if values.ndim else 0 for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"{file} has arrays of different lengths: {sizes}")
    count = next(iter(sizes.values()), 0)
    return ({name: values[i] for name, values in columns.items()} for i in range(count))


def is_whole(item: Item, inputs: Sequence[TensorSpec]) -> bool:
    """Whether an item of plain tensors is all that a run takes, and no row of a batch.

    Its arrays then have as many axes as the graph inputs; those of a row lack the first.
    """
    if not isinstance(item, Mapping):
        return False
    return all(np.ndim(item.get(spec.name, 0)) == len(spec.shape) for spec in inputs)


def stacked(items: Sequence[Item], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Feeds of a batch of rows of arrays, for a model that takes plain tensors.

    Args:
        items: Rows of an .npz file, {name: array}; or one item that `is_whole`.
        inputs: The graph inputs; other arrays of a row are left out.

    Raises:
        InputError: A row lacks an input, or the arrays do not fit.
    """
    feeds: dict[str, Array] = {}
    for spec in inputs:
        found = [item.get(spec.name) if isinstance(item, Mapping) else None for item in items]
        if any(not isinstance(array, (np.ndarray, np.generic)) for array in found):
            raise InputError(
                f"the data has no array {spec.name!r}",
                expected=f"an .npz file with {', '.join(f'{s.name}: {s}' for s in inputs)}",
            )
        if len(items) == 1 and is_whole(items[0], inputs):
            feeds[spec.name] = np.asarray(found[0])
        else:
            feeds[spec.name] = np.stack([np.asarray(array) for array in found])
    check_feeds(feeds, inputs, source="MODEL")
    return feeds


def _label_column(file: Path, row: Row, options: SampleOptions) -> str:
    named = options.label_column
    found = named if named in row else next((c for c in LABEL_COLUMNS if c in row), "")
    if named and found != named:
        raise InputError(f"{file} has no column {named!r}", expected=f"one of {', '.join(row)}")
    if options.labels and not found:
        raise NoLabelsError(
            f"{file} has no label column",
            expected=f"a column {' or '.join(LABEL_COLUMNS)}; it has {', '.join(row)}",
            fix="name it with --label-column",
        )
    return found if options.labels else ""


def _items(
    file: Path, rows: Sequence[Row], task: TaskSpec, options: SampleOptions
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The items, and the columns that they came from if not from all."""
    if task.name == "question-answering":
        asked = zip(*(_cells(file, rows, column) for column in QUESTION_COLUMNS), strict=True)
        return tuple(dict(zip(QUESTION_COLUMNS, cells, strict=True)) for cells in asked), (
            QUESTION_COLUMNS
        )
    if task.text is not None:
        first = rows[0]
        pair = next((p for p in PAIR_COLUMNS if p[0] in first and p[1] in first), None)
        if pair is not None and not options.text_column:
            return tuple(zip(*(_cells(file, rows, c) for c in pair), strict=True)), pair
        candidates = [options.text_column] if options.text_column else TEXT_COLUMNS
        column = next((c for c in candidates if c in first), "")
        if not column:
            raise InputError(
                f"{file} has no text column",
                expected=f"a column {' or '.join(candidates)}; it has {', '.join(first)}",
                fix="name it with --text-column",
            )
        return _cells(file, rows, column), (column,)
    if task.image is not None:
        column = "image" if "image" in rows[0] else ""
        if not column:
            raise InputError(
                f"{file} has no images", expected="an array or a column of files named 'image'"
            )
        base = file.parent
        cells = _cells(file, rows, column)
        items = tuple(base / cell if isinstance(cell, str) else cell for cell in cells)
        return items, (column,)
    return tuple(rows), ()


def _cells(file: Path, rows: Sequence[Row], column: str) -> tuple[Any, ...]:
    for number, row in enumerate(rows, start=1):
        if column not in row:
            raise InputError(
                f"{file}, row {number} has no {column!r}",
                expected=f"{column!r} in every row; it has {', '.join(row)}",
            )
    return tuple(row[column] for row in rows)


def _target(value: object, task: TaskSpec, file: Path, number: int) -> float | tuple[int, ...]:
    where = f"{file}, row {number}"
    if task.multi_label:
        named = {_label(name, task, where) for name in _several(value, task)}
        return tuple(int(i in named) for i in range(len(task.labels)))
    if not task.labels:
        try:
            found = float(str(value))
        except ValueError:
            found = math.nan
        least = 0.0 if task.value_transform == "exp" else -math.inf
        if not least < found < math.inf:
            raise InputError(
                f"{where} has the value {value!r}",
                expected=f"a finite number{' above 0' if least == 0.0 else ''}",
            )
        return found
    return _label(value, task, where)


def _several(value: object, task: TaskSpec) -> list[object]:
    """The labels of an item that may have several: a list, or a text with separators."""
    if isinstance(value, (list, tuple)):
        return [*value]
    text = str("" if value is None else value)
    if text in task.labels:
        return [text]
    separator = next((s for s in SEPARATORS if s in text), SEPARATORS[0])
    return [part.strip() for part in text.split(separator) if part.strip()]


def _label(value: object, task: TaskSpec, where: str) -> int:
    name = str(value)
    if name in task.labels:
        return task.labels.index(name)
    if name.isdecimal() and int(name) < len(task.labels):
        return int(name)
    raise InputError(
        f"{where} has the label {name!r}, which the model does not have",
        expected=f"one of {', '.join(task.labels)}",
    )
