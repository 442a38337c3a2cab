"""What a command prints: results on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

SCHEMA_VERSION = "1"


def show_json(document: dict[str, Any]) -> None:
    """Print one JSON document that begins with the schema version."""
    text = msgspec.json.encode({"schema_version": SCHEMA_VERSION, **document}, enc_hook=_plain)
    sys.stdout.write(msgspec.json.format(text, indent=2).decode() + "\n")


def _plain(value: object) -> object:
    item = getattr(value, "tolist", None)  # numpy scalars and arrays
    if item is None:
        return str(value)
    return item()


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = ""
) -> None:
    """Print a table; columns of numbers stand to the right.

    Args:
        title: Printed above the table.
        columns: The heads.
        rows: Cells, already rounded as they shall read.
        note: Printed below the table.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for position, column in enumerate(columns):
        numeric = all(isinstance(row[position], (int, float)) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(soft_wrap=False, highlight=False)
    console.print(table)
    if note:
        console.print(note, markup=False)


def say(text: str) -> None:
    """Print a line on stderr: progress, or something that the user may want to know."""
    sys.stderr.write(text + "\n")
