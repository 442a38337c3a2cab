"""Options that a target would ignore are refused, before anything is written."""

import platform
from pathlib import Path

import pytest

from tests.tiny_package import write_tiny_package
from toolkit import bundle
from toolkit.bundle import BundleOptions, targets
from toolkit.bundle.options import check_options
from toolkit.cli.main import main
from toolkit.errors import InputError

NOWHERE = Path("/nowhere")
IGNORED = {
    "web": {"architecture", "sysroot"},
    "node": {"architecture", "sysroot"},
    "docker": {"architecture", "sysroot"},
    "android": {"architecture", "sysroot"},
    "ios": {"architecture", "sysroot"},
    "triton": {"architecture", "runtime", "sysroot"},
    "kserve": {"architecture", "runtime", "sysroot"},
    "python": set[str](),
    "c": set[str](),
}
ASKED = {
    "architecture": BundleOptions(architecture="arm64"),
    "runtime": BundleOptions(runtime=NOWHERE),
    "sysroot": BundleOptions(sysroot=NOWHERE),
}
TYPED = {"architecture": "--arch", "runtime": "--runtime", "sysroot": "--sysroot"}


@pytest.fixture(autouse=True)
def on_x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize("name", targets.NAMES)
def test_an_option_that_a_target_does_not_read_is_refused(name: str) -> None:
    target = targets.target_named(name)
    for option in IGNORED[name]:
        with pytest.raises(InputError, match=f"{name} has no use for {TYPED[option]}"):
            check_options(ASKED[option], target)
    assert target.reads | target.reads_for_another == set(ASKED) - IGNORED[name]
    for option in target.reads:
        check_options(ASKED[option], target)


@pytest.mark.parametrize(
    "name, option", [("python", "runtime"), ("python", "sysroot"), ("c", "sysroot")]
)
def test_what_serves_another_processor_needs_one(name: str, option: str) -> None:
    target = targets.target_named(name)
    for architecture in ("", "x86_64"):
        asked = BundleOptions(architecture=architecture, **{option: NOWHERE})  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"reads {TYPED[option]} for another processor"):
            check_options(asked, target)
    check_options(BundleOptions(architecture="arm64", **{option: NOWHERE}), target)  # type: ignore[arg-type]


def test_an_unknown_processor_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    options = BundleOptions(architecture="armv7")
    with pytest.raises(InputError, match="'armv7'") as caught:
        bundle(package.path, target="c", output=tmp_path / "app", options=options)
    assert caught.value.expected == "one of x86_64, arm64"
    assert not (tmp_path / "app").exists()


def test_a_machine_of_another_kind_may_name_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    check_options(BundleOptions(architecture="riscv64"), targets.target_named("c"))


def test_the_command_says_what_to_leave_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    typed = ["bundle", str(package.path), "--target", "triton", "-o", str(tmp_path / "app")]
    assert main([*typed, "--runtime", "/nowhere"]) == 3
    said = capsys.readouterr().err
    assert "triton has no use for --runtime" in said
    assert "none of --arch, --runtime, --sysroot" in said
    assert not (tmp_path / "app").exists()
