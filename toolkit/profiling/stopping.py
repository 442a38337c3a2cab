"""Ending a measurement when the user asks for it, with what was measured until then."""

import signal

from toolkit.errors import StoppedError


class Stop:
    """Whether the user asked for the end.

    A signal that raised wherever it arrives could tear a run's two times apart. It is remembered
    instead and looked at between runs, never inside of what is timed.
    """

    def __init__(self) -> None:
        self.is_asked = False

    def listen(self) -> None:
        """Take Ctrl-C from now on; whoever started this process ends it where that takes long."""
        signal.signal(signal.SIGINT, self._ask)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            StoppedError: The user asked for the end.
        """
        if self.is_asked:
            raise self.error()

    @staticmethod
    def error() -> StoppedError:
        """What ended the runs."""
        return StoppedError("interrupted")

    def _ask(self, *_: object) -> None:
        self.is_asked = True
