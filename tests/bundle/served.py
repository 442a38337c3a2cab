"""The server of the docker target, as a process, for tests that ask over HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolkit.bundle.targets import docker


def write_wheels(folder: Path) -> Path:
    """Files named as the server's wheels are; their content is hashed and nothing else."""
    for name in docker._LICENSES:
        (folder / f"{name}-{version(name)}-py3-none-any.whl").write_text(name)
    return folder


class Server:
    """The bundle's server, as the Dockerfile's CMD starts it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "server.py"],
            cwd=folder,
            env={**os.environ, "PORT": "0", "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['listening']}"

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", content)  # noqa: S310 - http
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code
