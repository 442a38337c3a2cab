"""Processors that bundles are made for, and running their programs here under qemu."""

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import SetupError


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What a processor is called by everyone.

    Attributes:
        name: As `--arch` has it.
        triple: Debian's name of the cross compiler and its libraries.
        qemu: qemu's.
        elf: `e_machine` in an ELF header: System V ABI, supplements of the two processors.
        wheel: The platform tag of ONNX Runtime's wheel.
        packages: Debian packages that build for it and run it on another processor.
    """

    name: str
    triple: str
    qemu: str
    elf: int
    wheel: str
    packages: str


PROCESSORS = {
    "x86_64": Processor(
        name="x86_64",
        triple="x86_64-linux-gnu",
        qemu="qemu-x86_64",
        elf=62,
        wheel="manylinux_2_28_x86_64",
        packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross libstdc++6-amd64-cross",
    ),
    "arm64": Processor(
        name="arm64",
        triple="aarch64-linux-gnu",
        qemu="qemu-aarch64",
        elf=183,
        wheel="manylinux_2_28_aarch64",
        packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross libstdc++6-arm64-cross",
    ),
}

_NAMES = {one.elf: one.name for one in PROCESSORS.values()} | {40: "32-bit Arm"}
_HOST = frozenset({"dev", "proc", "sys"})
# ONNX Runtime 1.31 (its cpuinfo) reads this machine's processors there, takes them for those of the
# other kind and crashes. Told of none by empty files, it gives up, and says so on stderr.
_EMPTY = ("kernel_max", "possible", "present")


def here() -> str:
    """This machine's processor, as `--arch` has it where it has one."""
    machine = platform.machine()
    return {"aarch64": "arm64", "AMD64": "x86_64"}.get(machine, machine)


def processor_of(program: Path) -> str:
    """The processor that a program or library is for; empty for what is no ELF file."""
    with program.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return ""
    machine = int.from_bytes(head[18:20], "little")  # e_machine
    return _NAMES.get(machine, f"machine {machine}")


def emulator(processor: Processor) -> str:
    """The path of qemu's program that runs a processor's programs.

    Raises:
        SetupError: It is not installed.
    """
    names = (f"{processor.qemu}-static", processor.qemu)
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise SetupError(
            f"{names[0]} is not installed, so that nothing of {processor.name} runs here",
            expected="qemu's user emulation",
            fix="apt-get install qemu-user-static, or --no-self-test",
        )
    return found


def view(root: Path, folder: Path) -> Path:
    """A root file system for qemu's -L: what the root holds, and nothing of this machine's devices.

    qemu takes a file from there where there is one, and from this machine otherwise.

    Args:
        root: The other processor's, which is left as it is.
        folder: An empty folder, which becomes the view.
    """
    for entry in root.resolve().iterdir():
        if entry.name not in _HOST:
            (folder / entry.name).symlink_to(entry)
    processors = folder / "sys/devices/system/cpu"
    processors.mkdir(parents=True)
    for name in _EMPTY:
        (processors / name).touch()
    return folder
