"""What a machine lacks is told before anything is made; how large a graph is, once it is made."""

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bundle.packages import text_package
from tests.tiny_package import write_tiny_package
from toolkit import bundle
from toolkit.bundle import BundleOptions, step
from toolkit.bundle.targets import python
from toolkit.errors import InputError, SetupError


def nothing_is_made(*_arguments: object, **_options: object) -> None:
    raise AssertionError("the bundle was begun")


@pytest.mark.parametrize(
    "target, options, lacks",
    [
        ("web", BundleOptions(), "chromium"),
        ("web", BundleOptions(self_test=False), "npm"),
        ("node", BundleOptions(runtime=Path("/node_modules")), "node is not installed"),
        ("c", BundleOptions(), "cmake"),
        ("c", BundleOptions(architecture="arm64"), r"libonnxruntime\.so for arm64"),
        ("python", BundleOptions(architecture="arm64"), "qemu"),
    ],
)
def test_what_the_machine_lacks_is_told_first(
    target: str,
    options: BundleOptions,
    lacks: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(step, "write_content", nothing_is_made)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=lacks):
        bundle(package.path, target=target, output=tmp_path / "app", options=options)


def test_the_size_that_counts_is_the_bundled_graph_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(tmp_path / "a.ortpackage", items=["good film"])
    texts = tmp_path / "texts.txt"
    texts.write_text("good film\n", encoding="utf-8")

    def made(name: str, most: int | None, trim: Path | None) -> int:
        """Bytes of the graph in a bundle for a target that loads so many."""
        changed = replace(python.TARGET, largest_bytes=most)
        monkeypatch.setattr(step, "target_named", lambda name: changed)
        options = BundleOptions(trim=trim, self_test=False)
        bundle(package.path, target="python", output=tmp_path / name, options=options)
        return (tmp_path / name / "model" / "model.onnx").stat().st_size

    cut = made("cut", None, texts)
    assert cut < package.variant().contents.size_bytes
    assert made("fits", cut, texts) == cut
    for name, most, trim in (("whole", cut, None), ("less", cut - 1, texts)):
        with pytest.raises(InputError, match="in the bundle") as caught:
            made(name, most, trim)
        assert "toolkit quantize" in caught.value.fix
        assert not (tmp_path / name).exists()
