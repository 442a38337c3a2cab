"""Python of another Linux architecture on this machine, under qemu's user emulation."""

import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from toolkit.bundle.report import SelfTestReport
from toolkit.bundle.testing import run_self_test
from toolkit.errors import InputError, SetupError

QEMU = "qemu-aarch64-static"
_LOADER = "lib/ld-linux-aarch64.so.1"
# ONNX Runtime's cpuinfo (1.31) reads the host's processors under /sys, takes them for Arm ones and
# crashes. Files of these names that are empty make it give up, and say so on stderr.
_HIDDEN = tuple(f"sys/devices/system/cpu/{name}" for name in ("kernel_max", "possible", "present"))


def run_on_arm64(
    arguments: Sequence[str],
    folder: Path,
    *,
    wheels: Path | None,
    root: Path | None,
    shown: str,
    timeout_s: float,
) -> SelfTestReport:
    """Run a bundle's self-test with a Python for Linux on arm64.

    Args:
        arguments: Of the interpreter: the script and its options.
        folder: The bundle's folder.
        wheels: A wheel, or a folder of wheels, for that Python.
        root: A root file system of that architecture with Python 3.11 and libstdc++.
        shown: The command as a user types it.
        timeout_s: How long it may take; it takes some twenty times as long as here.

    Raises:
        SetupError: qemu, the root or the wheels are missing.
        InputError: The root or a wheel is of another architecture.
        CheckFailedError: The self-test did not pass.
    """
    qemu = _emulator()
    interpreter = _interpreter(root)
    assert root is not None
    with _view(root) as prefix, _unpacked(wheels) as packages:
        # One processor: threads that wait for each other by spinning starve under emulation.
        report = run_self_test(
            [*_on_one_processor(), qemu, "-L", str(prefix), str(interpreter), *arguments],
            folder,
            shown=shown,
            timeout_s=timeout_s,
            environment={
                "PYTHONPATH": str(packages),
                "PYTHONHOME": "",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
    return replace(report, where=f"{report.where} for Linux on arm64, under {QEMU}")


def check_arm64(wheels: Path | None, root: Path | None) -> None:
    """Refuse a machine that lacks what `run_on_arm64` needs, before anything is made.

    Raises:
        SetupError: qemu, the root or the wheels are missing.
        InputError: The root or a wheel is of another architecture.
    """
    _emulator()
    _interpreter(root)
    _wheels(wheels)


def _emulator() -> str:
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise SetupError(
            f"{QEMU} is not installed, so that nothing of arm64 runs here",
            expected="qemu's user emulation",
            fix="apt-get install qemu-user-static, or --no-self-test",
        )
    return qemu


def _on_one_processor() -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "--cpu-list", str(max(os.sched_getaffinity(0)))] if taskset else []


def _interpreter(root: Path | None) -> Path:
    """Python in the root, which must be one of arm64."""
    how = (
        "--sysroot DIR, made with: debootstrap --arch=arm64 --variant=minbase "
        "--include=python3,libstdc++6 bookworm DIR; or --no-self-test"
    )
    if root is None or not root.is_dir():
        raise SetupError(
            "the self-test on arm64 needs a root file system with Python"
            + ("" if root is None else f"; {root} is no folder"),
            expected="a folder with usr/bin/python3.11 and libstdc++ for arm64",
            fix=how,
        )
    found = root / "usr/bin/python3.11"
    if not found.is_file() or not (root / _LOADER).exists():
        raise SetupError(
            f"{root} has no usr/bin/python3.11 or no {_LOADER}",
            expected="a root file system of Debian 12 for arm64, with python3",
            fix=how,
        )
    if _machine(found) != "arm64":
        raise InputError(
            f"{found} is a program for {_machine(found)}",
            expected="one for arm64, as --arch says",
            fix=how,
        )
    return found


def _machine(program: Path) -> str:
    """The processor that an ELF file is for."""
    with program.open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF":
        return "no processor: it is no ELF file"
    # e_machine of the ELF specification.
    kind = int.from_bytes(header[18:20], "little")
    return {0xB7: "arm64", 0x3E: "x86_64", 0x28: "32-bit Arm"}.get(kind, f"machine {kind}")


@contextmanager
def _view(root: Path) -> Iterator[Path]:
    """The root with some files of the host hidden, without a change to it."""
    with tempfile.TemporaryDirectory(prefix="toolkit-arm64-") as name:
        prefix = Path(name)
        for entry in root.resolve().iterdir():
            if entry.name not in {"sys", "proc", "dev"}:
                (prefix / entry.name).symlink_to(entry)
        for file in _HIDDEN:
            (prefix / file).parent.mkdir(parents=True, exist_ok=True)
            (prefix / file).touch()
        yield prefix


def _wheels(wheels: Path | None) -> list[Path]:
    """The wheels for Python on arm64, of a folder or one alone."""
    if wheels is None:
        raise SetupError(
            "the self-test on arm64 needs the wheels of that architecture",
            expected="--runtime, a folder of wheels",
            fix="pip download --no-deps --only-binary :all: --python-version 3.11 --platform "
            "manylinux_2_28_aarch64 --platform manylinux2014_aarch64 -d DIR -r requirements.txt",
        )
    files = sorted(wheels.glob("*.whl")) if wheels.is_dir() else [wheels]
    if not files:
        raise SetupError(f"{wheels} has no wheels", expected="those of requirements.txt for arm64")
    for file in files:
        tags = file.name.removesuffix(".whl").split("-")
        if not file.name.endswith(".whl") or not tags[-1].endswith(("aarch64", "any")):
            raise InputError(
                f"{file.name} is no wheel for Linux on arm64",
                expected="a name that ends in _aarch64.whl or -any.whl",
            )
    return files


@contextmanager
def _unpacked(wheels: Path | None) -> Iterator[Path]:
    """A folder that Python for arm64 imports from."""
    with tempfile.TemporaryDirectory(prefix="toolkit-wheels-") as name:
        for file in _wheels(wheels):
            try:
                with zipfile.ZipFile(file) as archive:
                    archive.extractall(name)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(f"{file} cannot be unpacked: {error}") from error
        yield Path(name)


def needs_qemu(architecture: str) -> bool:
    """Whether programs of an architecture run here under emulation only.

    Raises:
        SetupError: They do not run here at all.
    """
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if architecture in {"", machine}:
        return False
    if architecture != "arm64":
        raise SetupError(
            f"programs for {architecture} do not run on this machine ({machine})",
            expected="this machine's architecture, or arm64 under qemu",
            fix="--no-self-test",
        )
    return True
