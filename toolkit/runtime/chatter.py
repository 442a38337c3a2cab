"""Native libraries that print on stdout, where the toolkit's results go."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import RLock

_ONE_AT_A_TIME = RLock()


@contextmanager
def stdout_kept() -> Iterator[None]:
    """What native code prints on stdout meanwhile goes to stderr.

    QNN 2.7.0 prints a line there with the first session of a process. The descriptor is the whole
    process's: other threads' output takes the same way as long as this lasts.
    """
    with _ONE_AT_A_TIME:
        try:
            kept = os.dup(1)
        except OSError:  # it is closed, and nothing printed gets anywhere
            yield
            return
        try:
            with suppress(OSError):  # stderr is closed: what is printed stays on stdout
                os.dup2(2, 1)
            yield
        finally:
            if sys.platform != "win32":
                ctypes.CDLL(None).fflush(None)  # C keeps what it prints to a pipe until then
            os.dup2(kept, 1)
            os.close(kept)
