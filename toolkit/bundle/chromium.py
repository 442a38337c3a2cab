"""A page in headless Chromium, driven through its debugging pipe."""

import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from toolkit.errors import CheckFailedError, SetupError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-dev-shm-usage", "--disable-quic", "--hide-scrollbars"),
)
_TO_BROWSER, _FROM_BROWSER = 3, 4  # the numbers that Chromium reads from and writes to
_HIGH = 10  # descriptors from here on are in nobody's way
_BLOCK = 1 << 16
_ENDING_S = 10.0
_POLL_S = 0.05


def find_chromium() -> str:
    """Where Chromium lies.

    Raises:
        SetupError: It is not installed.
    """
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    raise SetupError(
        "chromium is not installed",
        expected=f"one of {', '.join(PROGRAMS)} on the path, to run the page in",
        fix="apt-get install chromium   (or --no-self-test, on your word)",
    )


class Page:
    """One page. Requests that it made are in `requests`, its browser is the process `process`."""

    def __init__(self, process: int, to_browser: int, from_browser: int, deadline: float) -> None:
        """Opens an empty page.

        Args:
            process: The browser's number.
            to_browser: Descriptor for commands.
            from_browser: Descriptor for answers and events.
            deadline: When to give up, of `time.monotonic()`.
        """
        self.requests: list[str] = []
        self.process = process
        self._to, self._from, self._deadline = to_browser, from_browser, deadline
        self._unread = b""
        self._number = 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Network.enable")
        self._call("Page.enable")

    def open(self, address: str) -> None:
        """Begin to load a page."""
        self._call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives; promises are waited for.

        Raises:
            CheckFailedError: It throws, or takes too long.
        """
        answer = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", details.get("text"))
            raise CheckFailedError(f"the page failed: {thrown}", expected=f"{expression}")
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """What an expression gives once it gives something true.

        Raises:
            CheckFailedError: That takes too long.
        """
        while not (value := self.evaluate(expression)):
            time.sleep(_POLL_S)
        return value

    def screenshot(self, file: Path, *, width: int = 900, height: int = 700) -> None:
        """Write a picture of the page, as PNG."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        file.write_bytes(b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._to, content) :]
        while True:
            answer = self._read()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise CheckFailedError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise CheckFailedError(
                    "the page did not answer in time",
                    expected="an answer",
                    fix="--no-self-test writes the bundle without it, on your word",
                )
            block = os.read(self._from, _BLOCK)
            if not block:
                raise CheckFailedError("chromium ended before the page answered")
            self._unread += block
        message, self._unread = self._unread.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def page(*, timeout_s: float, flags: Sequence[str] = ()) -> Iterator[Page]:
    """An empty page in a Chromium of its own.

    Args:
        timeout_s: How long everything may take together.
        flags: Further flags of Chromium.

    Raises:
        SetupError: Chromium is not installed.
    """
    browser = find_chromium()
    with tempfile.TemporaryDirectory(
        prefix="toolkit-chromium-", ignore_cleanup_errors=True
    ) as profile:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [browser, *_FLAGS, *root, f"--user-data-dir={profile}", *flags]
        process, to_browser, from_browser = _start(command, {**os.environ, "HOME": profile})
        try:
            yield Page(process, to_browser, from_browser, time.monotonic() + timeout_s)
        finally:
            os.close(to_browser)  # at which Chromium ends
            os.close(from_browser)
            _end(process)


def _start(command: list[str], environment: Mapping[str, str]) -> tuple[int, int, int]:
    """The process, with descriptors for what goes in and what comes out."""
    read_commands, to_browser = map(_moved, os.pipe())
    from_browser, write_answers = map(_moved, os.pipe())
    process = os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, read_commands, _TO_BROWSER),
            (os.POSIX_SPAWN_DUP2, write_answers, _FROM_BROWSER),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
    )
    os.close(read_commands)
    os.close(write_answers)
    return process, to_browser, from_browser


def _moved(descriptor: int) -> int:
    """The same under a high number, so that it is not one of the two that Chromium expects."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(descriptor)
    return high


def _end(process: int) -> None:
    deadline = time.monotonic() + _ENDING_S
    while time.monotonic() < deadline:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(_POLL_S)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
