"""Compiling C bundles and small programs around their sources, for tests."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from toolkit.bundle.job import BundleOptions
from toolkit.bundle.native import runtime_library

REPOSITORY = Path(__file__).parents[2]
APP = REPOSITORY / "toolkit" / "bundle" / "apps" / "c"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g")


def need(*programs: str) -> None:
    """Skip the test where a program is missing; fail where all are promised."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def compiled(target: Path, sources: Sequence[Path], *flags: str) -> Path:
    """A program of our sources, without a warning."""
    need("cc")
    headers = ("-isystem", str(APP / "include"), "-I", str(APP / "src"))
    command = ["cc", "-std=c11", "-O1", *WARNINGS, *flags, *headers, "-o", str(target)]
    subprocess.run(
        [*command, *map(str, sources), "-ldl", "-lm"], check=True, timeout=120, cwd=REPOSITORY
    )
    return target


def built(source: Path, target: Path, *settings: str) -> Path:
    """A folder that CMake built in."""
    need("cc", "cmake", "make")
    configure = ["cmake", "-G", "Unix Makefiles", "-S", str(source), "-B", str(target), *settings]
    for command in (configure, ["cmake", "--build", str(target)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
    return target


def run(
    program: Path,
    *arguments: str | Path,
    folder: Path,
    lines: bytes = b"",
    library: str | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program in a folder, on the installed ONNX Runtime when no other is named."""
    if library is None:
        with_installed = runtime_library(BundleOptions(), folder)
        assert with_installed is not None
        library = str(with_installed)
    return subprocess.run(
        [program, *arguments],
        cwd=folder,
        input=lines,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, "ONNXRUNTIME_LIB": library},
    )
