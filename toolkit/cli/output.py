"""What a command prints: results on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.errors import InputError, ToolkitError
from toolkit.progress import Progress, silent

SCHEMA_VERSION = "1"
FILE_WIDTH = 160


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
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    note: str = "",
    width: int = FILE_WIDTH,
) -> None:
    """Print a table; columns of numbers stand to the right.

    Args:
        title: Printed above the table.
        columns: The heads.
        rows: Cells, already rounded as they shall read.
        note: Printed below the table.
        width: Columns of the page where stdout is no terminal.
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
    # Where nobody looks, a narrow table would only break words.
    console = Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False)
    console.print(table)
    if note:
        console.print(note)


def say(text: str) -> None:
    """Print a line on stderr: progress, or something that the user may want to know."""
    sys.stderr.write(text + "\n")


def show_text(text: str) -> None:
    """Print a result on stdout."""
    sys.stdout.write(text + "\n")


def stream(piece: str) -> None:
    """Print a piece of a result on stdout, at once."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def progress(*, quiet: bool) -> Progress:
    """What a step shall call with each thing that begins: a line on stderr."""
    return silent if quiet else lambda line: say(f"  {line}")


def show_error(error: ToolkitError) -> int:
    """Print a failure on stderr: what happened, what was expected, what to do next.

    Returns:
        The exit code.
    """
    say(f"error: {error.problem}")
    if error.expected:
        say(f"  expected: {error.expected}")
    if error.fix:
        say(f"  try: {error.fix}")
    return error.exit_code


def show_os_error(error: OSError) -> int:
    """Print a failure of the file system, such as a full disk; see `show_error`."""
    place = f" {error.filename}" if error.filename else ""
    reason = error.strerror or str(error)
    return show_error(
        InputError(
            f"the file system refused{place}: {reason}",
            expected="room and permission to write; nothing was changed",
        )
    )


def size(count: int) -> str:
    """Bytes as a person reads them, in powers of ten."""
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def number(value: float | None, form: str) -> str:
    """A number as a cell, or an empty one."""
    return "" if value is None else format(value, form)
