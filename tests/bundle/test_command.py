"""What `toolkit bundle` tells a user to type can be typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundle.c_programs import need
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, targets
from toolkit.bundle.native import runtime_library
from toolkit.cli.main import main

PROGRAMS = {"python", "npm", "node", "cmake", "build/app", "gradle", "xcodebuild"}


def typed(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def last_line(target: str, folder: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of the report of a bundle in the current folder."""
    package = write_tiny_package(Path("tiny.ortpackage"))
    arguments = ["bundle", str(package.path), "--target", target, "-o", folder, "--no-self-test"]
    assert main(arguments) == 0
    return capsys.readouterr().out.rstrip().splitlines()[-1].strip()


@pytest.mark.parametrize("name", targets.NAMES)
def test_every_command_is_one_and_no_prose(name: str) -> None:
    command = targets.target_named(name).command
    words = [part.split() for part in command.split(" && ")]
    assert {part[0] for part in words} <= PROGRAMS
    assert not any(word.endswith(",") or word == "then" for part in words for word in part)


def test_a_folder_with_a_space_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = last_line("python", "my app; no", capsys)
    done = typed(line, PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, (line, done.stderr)
    assert '"passed": true' in done.stdout


@pytest.mark.slow
def test_what_has_to_be_built_is_built_by_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need("cc", "cmake", "make")
    monkeypatch.chdir(tmp_path)
    line = last_line("c", "app", capsys)
    library = runtime_library(BundleOptions(), tmp_path)
    assert library is not None
    done = typed(line, ONNXRUNTIME_LIB=str(library), CMAKE_GENERATOR="Unix Makefiles")
    assert done.returncode == 0, (line, done.stderr)
    assert '"passed": true' in done.stdout.splitlines()[-1]
