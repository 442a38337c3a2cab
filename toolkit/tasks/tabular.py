"""Rows to tensors by a declared table of columns: no pandas, no scikit-learn."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array

Scalar = str | int | float


class NumericColumn(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="numeric"
):
    """A number. Scaling is the graph's work.

    Attributes:
        name: The column's name.
        fill: What an empty cell means; none where an empty cell is an error.
    """

    name: str
    fill: float | None = None


class CategoricalColumn(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="categorical"
):
    """One of a fixed list of levels, encoded as its index.

    Attributes:
        name: The column's name.
        levels: The levels in the order of their indexes.
        unknown: "error" refuses any other level; "other" encodes it as `len(levels)`.
    """

    name: str
    levels: tuple[str, ...]
    unknown: Literal["error", "other"] = "error"


Column = NumericColumn | CategoricalColumn


class FeatureTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The columns of a tabular model, in the order of its tensors.

    Numeric columns become the input `numeric`, float32[batch, columns]; categorical ones the input
    `categorical`, int64[batch, columns]. An input without columns does not exist.
    """

    columns: tuple[Column, ...]

    @classmethod
    def read(cls, file: Path) -> "FeatureTable":
        """The table in a `features.json`.

        Raises:
            InputError: The file is missing or no feature table.
        """
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise InputError(
                f"{file} is no feature table: {error}", expected='{"columns": [...]}'
            ) from error

    def write(self, file: Path) -> None:
        """Write the table as JSON."""
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))

    @property
    def numeric(self) -> tuple[NumericColumn, ...]:
        """The numeric columns in order."""
        return tuple(c for c in self.columns if isinstance(c, NumericColumn))

    @property
    def categorical(self) -> tuple[CategoricalColumn, ...]:
        """The categorical columns in order."""
        return tuple(c for c in self.columns if isinstance(c, CategoricalColumn))

    def encode(self, items: Sequence[object]) -> dict[str, Array]:
        """Feeds for rows.

        Args:
            items: Rows as {column: value}; further columns are ignored, so that a data file with
                its target column works as it is.

        Raises:
            InputError: A column is missing, or a value does not fit; the row, the column and what
                was expected are named.
        """
        rows = [_checked(item, position) for position, item in enumerate(items)]
        feeds: dict[str, Array] = {}
        if numeric := self.numeric:
            numbers = [[_number(row, c, i) for c in numeric] for i, row in enumerate(rows)]
            feeds["numeric"] = np.array(numbers, np.float32)
        if categorical := self.categorical:
            index = [{level: i for i, level in enumerate(c.levels)} for c in categorical]
            feeds["categorical"] = np.array(
                [
                    [_level(row, c, n, i) for c, n in zip(categorical, index, strict=True)]
                    for i, row in enumerate(rows)
                ],
                np.int64,
            )
        return feeds


def _checked(item: object, position: int) -> Mapping[str, object]:
    if not isinstance(item, Mapping):
        raise InputError(f"row {position + 1} is {item!r}", expected="an object {column: value}")
    return item


def _cell(row: Mapping[str, object], column: Column, position: int) -> object:
    try:
        return row[column.name]
    except KeyError:
        raise InputError(
            f"row {position + 1} has no column {column.name!r}",
            expected=f"the columns {', '.join(row)} and {column.name}",
        ) from None


def _number(row: Mapping[str, object], column: NumericColumn, position: int) -> float:
    cell = _cell(row, column, position)
    if column.fill is not None and (cell is None or cell == ""):
        return column.fill
    try:
        number = float(cell)  # type: ignore[arg-type]  # a wrong type is what the except is for
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"row {position + 1}, column {column.name!r} is {cell!r}", expected="a finite number"
        )
    return number


def _level(
    row: Mapping[str, object], column: CategoricalColumn, index: Mapping[str, int], position: int
) -> int:
    cell = str(_cell(row, column, position))
    known = index.get(cell)
    if known is not None:
        return known
    if column.unknown == "other":
        return len(column.levels)
    raise InputError(
        f"row {position + 1}, column {column.name!r} is {cell!r}",
        expected=f"one of {', '.join(column.levels)}",
    )
