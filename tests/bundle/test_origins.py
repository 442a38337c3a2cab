"""Other projects' files are declared as theirs, in the bill of materials and in the notice."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_package import write_tiny_package
from toolkit import bundle
from toolkit.bundle import BundleOptions, Job, licenses, step
from toolkit.bundle.report import Runtime
from toolkit.bundle.sizes import parts_of
from toolkit.bundle.targets import python
from toolkit.errors import SetupError

UNTESTED = BundleOptions(self_test=False)


def made(tmp_path: Path, target: str) -> tuple[dict[str, str], str]:
    """The license that the bill gives each file that has one, and the notice."""
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    folder = tmp_path / "app"
    bundle(package.path, target=target, output=folder, options=UNTESTED)
    bill = json.loads((folder / "sbom.cdx.json").read_text(encoding="utf-8"))
    declared = {
        one["name"]: one["licenses"][0]["license"]["id"]
        for one in bill["components"]
        if one["type"] == "file" and "licenses" in one
    }
    return declared, (folder / "NOTICE.txt").read_text(encoding="utf-8")


def test_headers_of_onnx_runtime_are_microsoft_s(tmp_path: Path) -> None:
    declared, notice = made(tmp_path, "c")
    headers = {name: found for name, found in declared.items() if name.startswith("include/")}
    assert len(headers) == 3
    assert set(headers.values()) == {"MIT"}
    assert declared["src/app.c"] == "Apache-2.0"
    (line,) = (line for line in notice.splitlines() if "include/onnxruntime_c_api.h" in line)
    assert line.endswith("of ONNX Runtime: MIT, copyright Microsoft Corporation.")
    assert "The app: Apache-2.0, copyright the authors of onnx-edge-toolkit." in notice
    assert "include/LICENSE" in notice.splitlines()


def test_triton_s_schema_is_nvidia_s(tmp_path: Path) -> None:
    declared, notice = made(tmp_path, "triton")
    assert declared["model_config.pb"] == "BSD-3-Clause"
    assert "model_config.LICENSE" not in declared
    assert declared["client.py"] == "Apache-2.0"
    assert "model_config.pb, of Triton: BSD-3-Clause, copyright NVIDIA Corporation." in notice
    assert "model_config.LICENSE" in notice.splitlines()


def with_web_runtime(job: Job, folder: Path) -> Any:
    described = Runtime(
        name="onnxruntime-web",
        version="1",
        license="MIT",
        purl="pkg:npm/onnxruntime-web@1",
        size_bytes=1,
        included=True,
    )
    return [*python.write(job, folder), described]


def test_what_the_runtime_for_browsers_links_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(python.TARGET, write=with_web_runtime)
    monkeypatch.setattr(step, "target_named", lambda name: changed)
    _, notice = made(tmp_path, "web")
    name = "LICENSES/onnxruntime-web.ThirdPartyNotices.txt"
    assert name in notice.splitlines()
    text = (tmp_path / "app" / name).read_text(encoding="utf-8")
    assert all(project in text for project in ("Eigen", "protobuf", "abseil"))


def test_a_page_is_not_sent_the_documents(tmp_path: Path) -> None:
    for name in ("index.html", "model/model.onnx", "LICENSES/long.txt", "README.md", "NOTICE.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("text")
    sent = {part.path: part.wire_bytes for part in parts_of(tmp_path, over_the_wire=True)}
    assert {name for name, size in sent.items() if size} == {"index.html", "model/model.onnx"}
    assert len(sent) == 5
    local = parts_of(tmp_path, over_the_wire=False)
    assert {part.wire_bytes for part in local} == {None}


def test_without_the_wheel_s_notices_there_is_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = replace(python.TARGET, write=with_web_runtime)
    monkeypatch.setattr(step, "target_named", lambda name: changed)
    monkeypatch.setattr(
        licenses, "find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    with pytest.raises(SetupError, match="what ONNX Runtime links") as caught:
        made(tmp_path, "web")
    assert "[cpu]" in caught.value.fix
    assert not (tmp_path / "app").exists()
