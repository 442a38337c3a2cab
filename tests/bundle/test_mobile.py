"""Programs that make part of a phone's bundle, or of its tests, and go wrong."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tests.bundle import fetched
from tests.tiny_package import GRAPH
from toolkit.bundle.mobile import compiled, reduced
from toolkit.errors import CheckFailedError


def test_a_converter_that_does_not_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduced, "_CONVERTED_S", 0.01)
    with pytest.raises(CheckFailedError, match="converter did not end within"):
        reduced.write_reduced(GRAPH, tmp_path)


def test_a_compiler_that_does_not_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cc = tmp_path / "cc"
    cc.write_text("#!/bin/sh\nexec /bin/sleep 20\n")
    cc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compiled, "_COMPILED_S", 0.01)
    with pytest.raises(CheckFailedError, match="tokenizer was not compiled within"):
        compiled.CompiledTokenizer(tmp_path)


@pytest.mark.slow
def test_no_code_of_a_download_with_another_hash_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    setup = f"open({str(ran)!r}, 'w').close()\nfrom setuptools import setup\n"
    setup += "setup(name='changed', version='1.0')\n"
    archive = tmp_path / "changed-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as files:
        member = tarfile.TarInfo("changed-1.0/setup.py")
        member.size = len(setup)
        files.addfile(member, io.BytesIO(setup.encode()))
    monkeypatch.setattr(fetched, "REPOSITORY", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the download of changed"):
        fetched.from_pypi("changed==1.0", "0" * 64, lambda _: True)
    assert not ran.exists()
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    unpacked = fetched.from_pypi("changed==1.0", right, lambda _: True)
    assert (unpacked / "changed-1.0" / "setup.py").read_text() == setup
