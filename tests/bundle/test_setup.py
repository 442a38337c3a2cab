"""What a machine lacks is told before anything is made; how large a graph is, once it is made."""

import platform
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bundle.packages import text_package
from tests.tiny_package import write_tiny_package
from toolkit import bundle
from toolkit.bundle import BundleOptions, step
from toolkit.bundle.targets import docker, kserve, python
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
    seen: list[int] = []
    whole = package.variant().contents.size_bytes

    def limited(most: int | None) -> None:
        changed = replace(
            python.TARGET, largest_bytes=most, check=lambda job: seen.append(job.graph_bytes)
        )
        monkeypatch.setattr(step, "target_named", lambda name: changed)

    limited(None)
    trim = BundleOptions(trim=texts, self_test=False)
    for name, options in (("cut", trim), ("whole", BundleOptions(self_test=False))):
        bundle(package.path, target="python", output=tmp_path / name, options=options)
        graph = tmp_path / name / "model" / "model.onnx"
        assert seen[-1] == graph.stat().st_size
    assert seen[0] < seen[1] == whole
    limited(seen[0])
    bundle(package.path, target="python", output=tmp_path / "fits", options=trim)
    with pytest.raises(InputError, match="in the bundle") as caught:
        bundle(
            package.path,
            target="python",
            output=tmp_path / "no",
            options=BundleOptions(self_test=False),
        )
    assert "toolkit quantize" in caught.value.fix
    assert not (tmp_path / "no").exists()


def test_servers_count_the_bundled_graph_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = text_package(tmp_path / "a.ortpackage", items=["good film"])
    texts = tmp_path / "texts.txt"
    texts.write_text("good film\n", encoding="utf-8")
    asked: list[int] = []

    def memory(model_bytes: int) -> int:
        asked.append(model_bytes)
        return 1

    monkeypatch.setattr(kserve, "memory_gib", memory)
    sums: list[int] = []
    monkeypatch.setattr(docker, "check_image", lambda parts: sums.append(sum(parts.values())))
    monkeypatch.setattr(docker, "wheel_hashes", lambda needed, *_: {one.name: [] for one in needed})
    sizes = []
    for name, trim in (("cut", texts), ("whole", None)):
        options = BundleOptions(trim=trim, self_test=False)
        made = bundle(package.path, target="kserve", output=tmp_path / f"{name}-k", options=options)
        (graph,) = made.path.glob("models/*/1/model.onnx")
        sizes.append(graph.stat().st_size)
        bundle(package.path, target="docker", output=tmp_path / f"{name}-d", options=options)
    assert asked == sizes
    assert asked[0] < asked[1]
    stored = [
        (tmp_path / f"{name}-d" / "model" / "self_test.bin").stat().st_size
        for name in ("cut", "whole")
    ]
    assert sums[1] - sums[0] == sizes[1] - sizes[0] + stored[1] - stored[0]
