"""Ctrl-C while libraries are imported: one line and 130, whatever the library makes of it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_package import write_tiny_package
from toolkit.cli.main import main
from toolkit.errors import SetupError, ToolkitError

AS_TYPED = "from toolkit.cli.start import start; start()"
CAUGHT = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    raise {} from None
"""
"""A module that is interrupted while it is imported, and raises something of its own."""


def started(folder: Path, module: str, content: str) -> tuple[int, str]:
    """How `toolkit infer` ends, and what it says, where a module is another."""
    package = write_tiny_package(folder / "tiny.ortpackage").path
    shadow = folder / "shadow.py"
    shadow.write_text(content)
    finder = (
        "import importlib.util, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"            return importlib.util.spec_from_file_location(name, {str(shadow)!r})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", finder + AS_TYPED, "infer", str(package), "good"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself a signal")
@pytest.mark.parametrize("module", ["typer", "toolkit.cli.infer", "onnxruntime"])
@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "ImportError('half')", "ValueError('x')"])
def test_an_interrupted_import_is_one_line(tmp_path: Path, module: str, raised: str) -> None:
    code, said = started(tmp_path, module, CAUGHT.format(raised))
    assert (code, said) == (130, "interrupted: nothing was changed\n")


def test_what_fails_without_an_interrupt_says_why(tmp_path: Path) -> None:
    code, said = started(tmp_path, "typer", "raise ValueError('broken')")
    assert code == 1
    assert "ValueError: broken" in said


@pytest.mark.parametrize("failure", [SetupError("onnxruntime is half"), OSError(5, "no")])
def test_a_failure_after_an_interrupt_is_none_of_the_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    def fails(*_: object) -> None:
        raise failure

    monkeypatch.setattr("toolkit.cli.main.application", fails)
    assert main(["doctor"], interrupts=[signal.SIGINT]) == 130
    assert capsys.readouterr().err == "interrupted: nothing was changed\n"
    assert main(["doctor"]) == (4 if isinstance(failure, ToolkitError) else 3)
    assert "interrupted" not in capsys.readouterr().err
