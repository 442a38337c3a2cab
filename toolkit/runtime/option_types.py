"""What values a provider option takes, and how each is written for ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_SWITCHES = {"0": False, "1": True, "false": False, "true": True}


class OptionType(Protocol):
    """The type of one provider option."""

    @property
    def expected(self) -> str:
        """What it takes, in words."""

    def parsed(self, text: str) -> str | None:
        """The value as ONNX Runtime takes it; None where the text is none."""


@dataclass(frozen=True)
class Flag:
    """Yes or no: 0, 1, false or true.

    Attributes:
        off: What the provider calls no.
        on: What it calls yes.
    """

    off: str = "0"
    on: str = "1"

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        return "0 or 1"

    def parsed(self, text: str) -> str | None:
        """The provider's word for yes or no."""
        value = _SWITCHES.get(text.lower())
        return None if value is None else self.on if value else self.off


@dataclass(frozen=True)
class Whole:
    """A whole number.

    Attributes:
        least: The smallest one.
        most: The largest one; None without a limit.
    """

    least: int = 0
    most: int | None = None

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        above = f"{self.least} or more" if self.most is None else f"{self.least} to {self.most}"
        return f"a whole number, {above}"

    def parsed(self, text: str) -> str | None:
        """The number."""
        if not text.removeprefix("-").isdecimal():
            return None
        number = int(text)
        inside = self.least <= number and (self.most is None or number <= self.most)
        return str(number) if inside else None


@dataclass(frozen=True)
class OneOf:
    """One of several words, in any case.

    Attributes:
        words: As the provider spells them.
    """

    words: Sequence[str]

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        return f"one of {', '.join(self.words)}"

    def parsed(self, text: str) -> str | None:
        """The word as the provider spells it."""
        return next((word for word in self.words if word.lower() == text.lower()), None)


@dataclass(frozen=True)
class Text:
    """Any text that is not empty: a path, a list, a device's name.

    Attributes:
        what: What it is.
    """

    what: str = "a text"

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        return self.what

    def parsed(self, text: str) -> str | None:
        """The text."""
        return text or None


@dataclass(frozen=True)
class Chip:
    """A Qualcomm chip: its number, or one of the names that QNN knows.

    QNN (2.7.0) takes a name that it does not know for its default chip, without an error.

    Attributes:
        names: Number by name.
    """

    names: Sequence[tuple[str, int]]

    @property
    def expected(self) -> str:
        """What it takes, in words."""
        known = ", ".join(f"{name} ({number})" for name, number in self.names)
        return f"a chip's number, or one of {known}"

    def parsed(self, text: str) -> str | None:
        """The chip's number."""
        number = dict(self.names).get(text.upper())
        if number is not None:
            return str(number)
        return str(int(text)) if text.isdecimal() else None
