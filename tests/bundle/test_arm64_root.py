"""Downloads for arm64 are kept, and are those that the hash names."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.bundle.arm64_root import kept_root, kept_wheels, make_root


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder that pip takes for its only index."""
    file = tmp_path / "index" / "nothing-1-py3-none-any.whl"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        about = "nothing-1.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{about}/WHEEL", tags)
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(file.parent))
    monkeypatch.setenv("CI", "true")
    return file


def test_wheels_are_fetched_once(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = {"nothing==1": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    folder = kept_wheels(tmp_path / "cache", pins)
    assert (folder / wheel.name).read_bytes() == wheel.read_bytes()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    assert kept_wheels(tmp_path / "cache", pins) == folder


def test_another_wheel_of_the_same_name_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="wheels for arm64"):
        kept_wheels(tmp_path / "cache", {"nothing==1": "0" * 64})
    assert [*(tmp_path / "cache").iterdir()] == []


def test_a_root_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setenv("CI", "true")

    def failing(command: list[str], **_options: object) -> None:
        called.append(command[-1])
        if "install" in command:
            raise subprocess.CalledProcessError(100, command)

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(pytest.fail.Exception, match="root file system for arm64"):
        kept_root(tmp_path)
    assert called[0] == "update"
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: called.append(command[-1]))
    called.clear()
    root = kept_root(tmp_path)
    assert root.is_dir()
    assert [path.name for path in root.parent.iterdir()] == ["root"]  # nothing of apt's state
    assert len(called) == 2
    assert kept_root(tmp_path) == make_root(root.parent) == root
    assert len(called) == 2
