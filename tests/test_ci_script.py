"""`.ci/run`: what it needs of a machine, it installs or asks for; nothing is skipped in silence."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "run"
REAL = ("bash", "cat", "dirname", "env")


def programs(folder: Path, **scripts: str) -> Path:
    """A folder for PATH that has a few programs, and these scripts of a shell."""
    folder.mkdir()
    for name in REAL:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, script in {"git": "", "nproc": "", "free": "", **scripts}.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        file.chmod(0o755)
    return folder


def run_copy(tmp_path: Path, **scripts: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in a folder of its own, with nothing but `programs` on PATH."""
    copy = tmp_path / "clone" / ".ci" / "run"
    copy.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, copy)
    path = programs(tmp_path / "bin", **scripts)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [str(path / "bash"), str(copy)],
        env={**environment, "PATH": str(path), "LOG": str(tmp_path / "log")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "scripts", [{"id": "echo 1000", "apt_get": 'echo "$@" >"$LOG"'}, {"id": "echo 0"}]
)
def test_it_ends_where_it_cannot_install_what_is_missing(
    tmp_path: Path, scripts: dict[str, str]
) -> None:
    done = run_copy(tmp_path, make='echo made >"$LOG"', **scripts)
    assert done.returncode == 1
    assert "the tests need gcc libc6-dev cmake" in done.stderr
    assert "chromium" in done.stderr
    assert not (tmp_path / "log").exists()  # neither apt-get nor make was called


def test_tests_run_as_in_ci_once_root_installed_what_was_missing(tmp_path: Path) -> None:
    done = run_copy(tmp_path, id="echo 0", apt_get="", make='echo "$1 CI=$CI" >"$LOG"; exit 7')
    assert done.returncode == 7, done.stderr
    assert (tmp_path / "log").read_text() == "install CI=true\n"
