"""The web bundle's server, typed wrongly."""

import subprocess
import sys

import pytest

from tests.bundle.javascript import APPS


@pytest.mark.parametrize(
    "argument, code, told",
    [("80000", 2, "expected 0 to 65535"), ("web", 2, "invalid int"), ("--help", 0, "port")],
)
def test_what_is_no_port_is_told(argument: str, code: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, str(APPS / "web" / "serve.py"), argument],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
