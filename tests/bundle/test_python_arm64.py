"""`toolkit bundle --target python --arch arm64`: the self-test under qemu."""

import platform
import shutil
from pathlib import Path

import pytest

from tests.bundle.arm64_root import kept_root, kept_wheels
from tests.bundle.fetched import lacking
from tests.bundle.serving_packages import flip_byte
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, bundle, qemu
from toolkit.errors import CheckFailedError, InputError, SetupError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates arm64 on x86-64"),
]


@pytest.fixture(scope="module")
def root() -> Path:
    if shutil.which(qemu.QEMU) is None:
        lacking("qemu-user-static")
    return kept_root()


@pytest.fixture(scope="module")
def wheels() -> Path:
    return kept_wheels()


def test_the_self_test_runs_on_arm64_and_fails_for_one_byte(
    tmp_path: Path, root: Path, wheels: Path
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    report = bundle(
        package.path,
        target="python",
        output=tmp_path / "out",
        options=BundleOptions(architecture="arm64", runtime=wheels, sysroot=root),
    )
    assert report.self_test.ran
    assert report.self_test.cases == 2
    assert "arm64" in report.self_test.where
    assert report.self_test.largest_difference is not None
    assert report.self_test.largest_difference <= 1e-5 * 4  # the largest logit is 4
    flip_byte(report.path / "model" / "model.onnx")
    with pytest.raises(CheckFailedError, match=r"model\.onnx was changed|failed with exit code"):
        qemu.run_on_arm64(
            ["app.py", "--self-test"],
            report.path,
            wheels=wheels,
            root=root,
            shown="python app.py --self-test",
            timeout_s=300,
        )


def made(tmp_path: Path, **options: Path | None) -> None:
    """A bundle for arm64 that lacks something."""
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    chosen = BundleOptions(
        architecture="arm64", runtime=options.get("wheels"), sysroot=options.get("root")
    )
    bundle(package.path, target="python", output=tmp_path / "out", options=chosen)


def fake_root(folder: Path, machine: int) -> Path:
    for name in ("usr/bin/python3.11", "lib/ld-linux-aarch64.so.1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little"))
    return folder


def test_without_qemu_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "QEMU", "qemu-of-nowhere")
    with pytest.raises(SetupError, match="qemu-of-nowhere") as caught:
        made(tmp_path)
    assert "apt-get install qemu-user-static" in caught.value.fix
    assert caught.value.exit_code == 4
    assert not (tmp_path / "out").exists()


@pytest.fixture
def any_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "QEMU", "true")


def test_without_a_root_or_with_an_empty_one_debootstrap_is_named(
    tmp_path: Path, any_qemu: None
) -> None:
    with pytest.raises(SetupError, match="root file system") as caught:
        made(tmp_path / "a")
    assert "debootstrap --arch=arm64" in caught.value.fix
    with pytest.raises(SetupError, match="python3.11") as caught:  # noqa: RUF043 - a version
        made(tmp_path / "b", root=tmp_path)
    assert "debootstrap" in caught.value.fix


def test_a_root_of_another_architecture_is_refused(tmp_path: Path, any_qemu: None) -> None:
    with pytest.raises(InputError, match="x86_64"):
        made(tmp_path / "a", root=fake_root(tmp_path / "root", 0x3E))


def test_without_wheels_or_with_this_machine_s_they_are_asked_for(
    tmp_path: Path, any_qemu: None
) -> None:
    root = fake_root(tmp_path / "root", 0xB7)
    with pytest.raises(SetupError, match="wheels") as caught:
        made(tmp_path / "a", root=root)
    assert "pip download" in caught.value.fix
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(SetupError, match="no wheels"):
        made(tmp_path / "b", root=root, wheels=wheels)
    (wheels / "numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
    with pytest.raises(InputError, match="x86_64"):
        made(tmp_path / "c", root=root, wheels=wheels)


def test_the_other_way_round_is_not_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert not qemu.needs_qemu("")
    assert not qemu.needs_qemu("arm64")
    with pytest.raises(SetupError, match="x86_64"):
        qemu.needs_qemu("x86_64")
