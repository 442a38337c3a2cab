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

    def encode(
        self, items: Sequence[object], numbers: Sequence[int] | None = None
    ) -> dict[str, Array]:
        """Feeds for rows.

        Args:
            items: Rows as {column: value}; further columns are ignored, so that a data file with
                its target column works as it is.
            numbers: What messages call each row; 1, 2, 3 and so on when not given.

        Raises:
            InputError: A column is missing, or a value does not fit; the row, the column and what
                was expected are named.
        """
        numbers = numbers or range(1, len(items) + 1)
        rows = [(self._checked(item, n), n) for item, n in zip(items, numbers, strict=True)]
        feeds: dict[str, Array] = {}
        if numeric := self.numeric:
            cells = [[_number(row, column, n) for column in numeric] for row, n in rows]
            feeds["numeric"] = np.array(cells, np.float32)
        if categorical := self.categorical:
            index = [{level: i for i, level in enumerate(c.levels)} for c in categorical]
            feeds["categorical"] = np.array(
                [
                    [_level(row, c, known, n) for c, known in zip(categorical, index, strict=True)]
                    for row, n in rows
                ],
                np.int64,
            )
        return feeds

    def _checked(self, item: object, number: int) -> Mapping[str, object]:
        """The row, which has every column of the table."""
        if not isinstance(item, Mapping):
            raise InputError(f"row {number} is {item!r}", expected="an object {column: value}")
        missing = [column.name for column in self.columns if column.name not in item]
        if missing:
            raise InputError(
                f"row {number} has no {_listed(missing)}",
                expected=f"the columns {', '.join(column.name for column in self.columns)}",
            )
        return item


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"column {names[0]!r}"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"columns {', '.join(map(repr, names[:3]))}{more}"


def _number(row: Mapping[str, object], column: NumericColumn, number: int) -> float:
    cell = row[column.name]
    if column.fill is not None and (cell is None or cell == ""):
        return column.fill
    try:
        value = float(cell)  # type: ignore[arg-type]  # a wrong type is what the except is for
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"row {number}, column {column.name!r} is {cell!r}", expected="a finite number"
        )
    return value


def _level(
    row: Mapping[str, object], column: CategoricalColumn, index: Mapping[str, int], number: int
) -> int:
    cell = str(row[column.name])
    known = index.get(cell)
    if known is not None:
        return known
    if column.unknown == "other":
        return len(column.levels)
    raise InputError(
        f"row {number}, column {column.name!r} is {cell!r}",
        expected=f"one of {', '.join(column.levels)}",
    )
