"""Processors, and what of another one's files is seen under qemu."""

import platform
from pathlib import Path

import pytest

from toolkit import SetupError
from toolkit.bundle.processors import PROCESSORS, emulator, here, processor_of, view


def elf(file: Path, machine: int) -> Path:
    file.write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
    return file


@pytest.mark.parametrize(
    "machine, name", [(0xB7, "arm64"), (0x3E, "x86_64"), (0x28, "32-bit Arm"), (8, "machine 8")]
)
def test_a_program_says_what_it_runs_on(machine: int, name: str, tmp_path: Path) -> None:
    assert processor_of(elf(tmp_path / "program", machine)) == name
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert processor_of(tmp_path / "text") == ""


@pytest.mark.parametrize(
    "machine, name", [("aarch64", "arm64"), ("AMD64", "x86_64"), ("riscv64", "riscv64")]
)
def test_this_machine_is_named_as_arch_names_it(
    machine: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert here() == name


def test_qemu_is_found_under_both_names_and_else_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="nothing of arm64 runs here") as caught:
        emulator(PROCESSORS["arm64"])
    assert "apt-get install qemu-user-static" in caught.value.fix
    for name in ("qemu-aarch64", "qemu-aarch64-static"):  # the static one comes first
        (tmp_path / name).symlink_to("/bin/true")
        assert emulator(PROCESSORS["arm64"]) == str(tmp_path / name)


def test_of_a_root_all_is_seen_but_devices_and_processors(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "view"
    for name in ("usr/lib", "dev", "proc", "sys/devices/system/cpu"):
        (root / name).mkdir(parents=True)
    (root / "usr/lib/libm.so").touch()
    (root / "lib").symlink_to("usr/lib")
    (root / "sys/devices/system/cpu/possible").write_text("0-7")
    folder.mkdir()
    assert view(root, folder) == folder
    assert {entry.name for entry in folder.iterdir()} == {"lib", "sys", "usr"}
    assert (folder / "lib/libm.so").is_file()
    processors = folder / "sys/devices/system/cpu"
    names = {file.name for file in processors.iterdir()}
    assert names == {"kernel_max", "possible", "present"}
    assert all(not file.read_bytes() for file in processors.iterdir())
    assert (root / "sys/devices/system/cpu/possible").read_text() == "0-7"
