"""What a user types or names, as items and feeds."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import InputError
from toolkit.tasks import Item, TaskSpec
from toolkit.tasks.image_files import SUFFIXES
from toolkit.tensors import Array, TensorSpec, describe, numpy_dtype

STDIN = "-"
QUESTION = '{"question": "...", "context": "..."}'


def typed_items(texts: Sequence[str], task: TaskSpec) -> list[Item]:
    """Items from arguments: texts, rows as JSON objects, or image files; `-` is a line of stdin.

    Raises:
        InputError: A row is no JSON object.
    """
    listed: list[str] = []
    for text in texts:
        listed.extend(stdin_lines() if text == STDIN else [text])
    return _typed(listed, task)


def _typed(texts: Sequence[str], task: TaskSpec) -> list[Item]:
    if task.name == "question-answering":
        return [
            _question(_json(text, f"question {i}", QUESTION), f"question {i}")
            for i, text in enumerate(texts, start=1)
        ]
    if task.name.startswith("tabular-"):
        return [_row(text, f"row {i}") for i, text in enumerate(texts, start=1)]
    return [*texts]


def file_items(file: Path, kind: str, task: TaskSpec) -> list[Item]:
    """Items from a file of lines, of JSON lines, or of comma-separated rows; `-` is stdin.

    Args:
        file: The file.
        kind: "lines", "jsonl" or "csv".
        task: What the model is for.

    Raises:
        InputError: The file cannot be read, or a line does not fit; its number is named.
    """
    if kind == "csv":
        from toolkit.evaluate.samples import csv_rows

        rows: list[Any] = list(csv_rows(file, read_text(file)))
    else:
        lines = text_lines(read_text(file))
        if kind == "lines":
            return _typed([*_non_empty(file, lines)], task)
        rows = [_json(line, f"{file}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if task.image is not None:
        return [_picture(row, f"{file}, entry {n}", file.parent) for n, row in enumerate(rows, 1)]
    if task.text is None:
        return rows
    read = _question if task.name == "question-answering" else _text
    return [read(row, f"{file}, entry {n}") for n, row in enumerate(rows, start=1)]


def text_lines(text: str) -> list[str]:
    r"""The lines of a text, which end with `\n` or `\r\n` and nothing else.

    str.splitlines would cut at a form feed or U+2028 too, which stand inside of texts.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def _non_empty(file: Path, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"{file}, line {number} is empty", expected="one text a line")
        yield line


def read_text(file: Path) -> str:
    """A UTF-8 file's text, or stdin's for `-`.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    try:
        raw = sys.stdin.buffer.read() if str(file) == STDIN else file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error}", expected="UTF-8 text") from error


def stdin_lines() -> list[str]:
    """The lines of stdin.

    Raises:
        InputError: There is none, one is empty, or stdin is not UTF-8.
    """
    lines = text_lines(read_text(Path(STDIN)))
    if not lines:
        raise InputError("stdin is empty", expected="one item a line")
    return [*_non_empty(Path("stdin"), lines)]


def _json(text: str, where: str, expected: str = "") -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}", expected=expected) from error


def _row(text: str, where: str) -> Any:
    value = _json(text, where)
    if not isinstance(value, dict):
        raise InputError(f"{where} is {text}", expected='an object such as {"column": 1.5}')
    return value


def _picture(row: Any, where: str, folder: Path) -> Any:
    """An image's file, as a path from here, with what else the row says of it."""
    name = row.get("image") if isinstance(row, Mapping) else row
    if not isinstance(name, str):
        raise InputError(f"{where} is {row!r}", expected='a file name, or an object with "image"')
    if isinstance(row, Mapping) and "labels" in row:
        return {"image": folder / name, "labels": row["labels"]}
    return folder / name


def _question(row: Any, where: str) -> Any:
    names = ("question", "context")
    if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in names):
        raise InputError(f"{where} is {row!r}", expected=f"an object such as {QUESTION}")
    return {name: row[name] for name in names}


def _text(row: Any, where: str) -> Any:
    """A text, or a pair of them."""
    value = row.get("text") if isinstance(row, Mapping) else row
    second = row.get("text_pair") if isinstance(row, Mapping) else None
    if second is not None:
        value = [value, second]
    parts = [value] if isinstance(value, str) else value
    if not (isinstance(parts, list) and len(parts) in {1, 2}) or not all(
        isinstance(part, str) for part in parts
    ):
        raise InputError(
            f"{where} is {row!r}",
            expected='a string, two in a list, or an object with "text", perhaps "text_pair"',
        )
    return value if isinstance(value, str) else tuple(parts)


def read_feed(file: Path, spec: TensorSpec) -> Array:
    """A tensor from a .npy, .npz, .json or image file.

    JSON has no dtypes, so its numbers take the input's; so do an image's 0 to 255, in the layout
    that the input's rank and sizes allow. Other files must have the right dtype.

    Args:
        file: The file; an .npz holds one array, or one of the input's name.
        spec: The input.

    Raises:
        InputError: The file is missing, broken, or does not fit.
        SetupError: An image, and Pillow is not installed.
    """
    kind = file.suffix.lower()
    try:
        if kind == ".npy":
            return np.asarray(np.load(file, allow_pickle=False))
        if kind == ".npz":
            from toolkit.npz import read_npz

            return _one_of(read_npz(file), file, spec)
        if kind == ".json":
            return _array_of(json.loads(file.read_bytes()), file, spec)
        if kind in SUFFIXES:
            return _image(file, spec)
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror or error}",
            expected=f"a file that holds {spec.name!r}: {spec}",
            fix=f"--input {spec.name}=FILE.npy",
        ) from error
    except (ValueError, EOFError, RecursionError) as error:
        raise InputError(f"{file} is damaged, or no {kind} file: {error}") from error
    raise InputError(
        f"{file} is of no format that is known here",
        expected=f".npy, .npz, .json, .png or .jpg, with {spec.name!r}: {spec}",
        fix=f"--input {spec.name}=FILE.npy",
    )


def _one_of(arrays: Mapping[str, Array], file: Path, spec: TensorSpec) -> Array:
    if spec.name in arrays:
        return arrays[spec.name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise InputError(
        f"{file} has no array {spec.name!r}; it has {', '.join(arrays) or 'none'}",
        expected=f"an array {spec.name!r}, or one array alone",
    )


def _array_of(value: Any, file: Path, spec: TensorSpec) -> Array:
    dtype: Any = object if spec.dtype == "string" else numpy_dtype(spec)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "OUS" and np.issubdtype(dtype, np.integer):
            exact = array.astype(dtype)
            if not np.array_equal(exact, array):
                raise InputError(f"{file} holds numbers that are no {spec.dtype}")
            return exact
        return np.asarray(value, dtype=dtype)
    except (TypeError, OverflowError) as error:
        raise InputError(f"{file} is no {spec}: {error}") from error


def _image(file: Path, spec: TensorSpec) -> Array:
    from toolkit.tasks.image_files import read_pixels

    channels = {spec.shape[1], spec.shape[-1]} if len(spec.shape) == 4 else {1}
    pixels = read_pixels(file, "RGB" if 3 in channels else "L")
    if len(spec.shape) == 4:
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        pixels = pixels[None] if spec.shape[-1] in {1, 3} else pixels.transpose(2, 0, 1)[None]
    elif len(spec.shape) == 3:
        pixels = pixels[None]
    if spec.dtype == "string":
        raise InputError(f"{file} is {describe(pixels)}", expected=str(spec))
    return pixels.astype(numpy_dtype(spec))


def write_outputs(file: Path, outputs: Mapping[str, Array]) -> None:
    """Write raw outputs by name as .npz.

    Raises:
        InputError: An output is no tensor.
    """
    from toolkit.npz import write_npz

    write_file(file, write_npz(outputs))


def write_file(file: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    temporary = file.with_name(f".{file.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
