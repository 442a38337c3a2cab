"""What tests of the JavaScript apps need: npm's libraries, kept in the clone, and Chromium."""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from toolkit.bundle.chromium import PROGRAMS
from toolkit.bundle.npm import installed_libraries
from toolkit.progress import silent

REPOSITORY = Path(__file__).parents[2]
APPS = REPOSITORY / "toolkit" / "bundle" / "apps"


def need(*programs: str) -> None:
    """Skip a test that lacks all of these programs; where everything must run, fail it."""
    if not any(map(shutil.which, programs)):
        lacking = f"{programs[0]} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(lacking)
        pytest.skip(lacking)


def need_chromium() -> None:
    """The same of a browser."""
    need(*PROGRAMS)


@cache
def libraries(kind: str) -> Path:
    """The `node_modules` of "node" or "web": downloads of 110 and 30 MB, so they are kept."""
    need("node")
    need("npm")
    lock = {"node": APPS / "node", "web": APPS / "web_runtime"}[kind]
    pinned = b"".join(sorted(file.read_bytes() for file in lock.glob("package*.json*")))
    kept = REPOSITORY / ".cache" / f"npm-{kind}-{hashlib.sha256(pinned).hexdigest()[:16]}"
    if kept.is_dir():
        return kept / "node_modules"
    partial = Path(f"{kept}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        for file in lock.glob("package*.json*"):
            text = file.read_text().replace("{{ package_name }}", "model")
            (partial / file.name.removesuffix(".j2")).write_text(text)
        with installed_libraries(partial, None, progress=silent, otherwise="") as modules:
            shutil.copytree(modules, partial / "node_modules", symlinks=True)
        if not kept.is_dir():  # another test process may have been quicker
            partial.rename(kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return kept / "node_modules"
