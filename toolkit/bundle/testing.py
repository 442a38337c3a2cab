"""Running a bundle's self-test and reading what it says.

The last line that an app's self-test prints on stdout is a JSON object such as {"passed": true,
"cases": 10, "largest_difference": 1.2e-07, "limit": 1e-05, "runtime": "onnxruntime 1.31.1"}, and it
ends with 0 where it passed and 1 where it did not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.bundle.report import SelfTestReport
from toolkit.errors import CheckFailedError

_SHOWN = 2000


def run_self_test(
    command: Sequence[str],
    folder: Path,
    *,
    shown: str,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> SelfTestReport:
    """Run a bundle's self-test.

    Args:
        command: The program and its arguments.
        folder: Where it runs: the bundle's folder.
        shown: The command as a user types it.
        timeout_s: How long it may take.
        environment: Variables beside this process's own.

    Raises:
        CheckFailedError: It did not pass, crashed, took too long, or did not say how it went.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailedError(
            f"the bundle's self-test ({shown}) did not end within {timeout_s:.0f} s",
            expected="an answer in that time",
            fix="--no-self-test writes the bundle without it, on your word",
        ) from error
    said = verdict(done.stdout)
    if said is None or done.returncode or said.get("passed") is not True:
        told = (done.stdout + done.stderr).strip()[-_SHOWN:]
        raise CheckFailedError(
            f"the bundle's self-test ({shown}) failed with exit code {done.returncode}\n{told}",
            expected="the answers that this machine gave",
            fix="toolkit validate PKG shows whether the package itself is right here",
        )
    return reported(said, shown)


def run_with_this_python(
    program: Sequence[str], folder: Path, *, shown: str, timeout_s: float
) -> SelfTestReport:
    """Run a bundle's self-test that is a Python program, with this interpreter.

    Args:
        program: The file and its arguments.
        folder: The bundle's folder, in which no compiled modules are left behind.
        shown: The command as a user types it.
        timeout_s: How long it may take.

    Raises:
        CheckFailedError: See `run_self_test`.
    """
    return run_self_test(
        [sys.executable, *program],
        folder,
        shown=shown,
        timeout_s=timeout_s,
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )


def verdict(stdout: str) -> dict[str, Any] | None:
    """What a self-test's last line says; None where it is no JSON object."""
    lines = [line for line in stdout.splitlines() if line.strip()]
    try:
        said = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def reported(said: Mapping[str, Any], shown: str) -> SelfTestReport:
    """The report of a self-test that passed.

    Args:
        said: Its last line.
        shown: The command as a user types it.
    """
    return SelfTestReport(
        command=shown,
        ran=True,
        where=str(said["runtime"]),
        cases=int(said["cases"]),
        largest_difference=float(said["largest_difference"]),
        limit=float(said["limit"]),
    )
