"""The toolkit's own failures, and the exit code that each one ends a command with."""

from typing import ClassVar


class ToolkitError(Exception):
    """A failure with a remedy. Anything else that escapes is our bug.

    Args:
        problem: What happened, naming the thing.
        expected: What was expected, with the values.
        fix: What to do next, as something to type.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, expected: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem, self.expected, self.fix = problem, expected, fix


class InputError(ToolkitError):
    """A file, tensor or option is not what the step needs."""

    exit_code = 3


class SetupError(ToolkitError):
    """This machine lacks a provider, an extra or a library."""

    exit_code = 4


class CheckFailedError(ToolkitError):
    """The work ran, and its result missed a limit."""

    exit_code = 5


class StoppedError(ToolkitError):
    """The user ended the work before its end, as Ctrl-C does."""

    exit_code = 130


class ToolkitWarning(UserWarning):
    """Something that the user may want to change and that the toolkit can survive."""
