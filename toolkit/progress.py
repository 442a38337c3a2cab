"""How a step says what it is doing: a line for each thing that begins."""

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing."""
