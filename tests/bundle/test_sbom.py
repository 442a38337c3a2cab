"""The bill of materials: valid CycloneDX that names everything, and the same bytes every time."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests import builders
from tests.bundle.packages import table_package, text_package
from toolkit import __version__, bundle, export
from toolkit.bundle import BundleOptions
from toolkit.errors import SetupError
from toolkit.package.integrity import file_hashes

UNTESTED = BundleOptions(self_test=False)


def bill_of(folder: Path) -> dict[str, Any]:
    text = (folder / "sbom.cdx.json").read_text(encoding="utf-8")
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert errors is None, errors
    content: dict[str, Any] = json.loads(text)
    return content


def test_every_file_and_library_is_named_with_digest_version_and_license(tmp_path: Path) -> None:
    package = text_package(tmp_path / "sentiment.ortpackage")
    folder = tmp_path / "app"
    report = bundle(package.path, target="python", output=folder, options=UNTESTED)
    bill = bill_of(folder)
    assert bill["specVersion"] == "1.6"
    assert bill["metadata"]["component"]["name"] == "sentiment-python"
    (maker,) = bill["metadata"]["tools"]["components"]
    assert (maker["name"], maker["version"]) == ("onnx-edge-toolkit", __version__)
    parts = {part["bom-ref"]: part for part in bill["components"]}
    hashes = {name: value for name, value in file_hashes(folder).items() if "sbom" not in name}
    model = parts.pop("model")
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": hashes.pop("model/model.onnx")}]
    told = {one["name"]: one["value"] for one in model["properties"]}
    assert told["toolkit:source"] == "onnx test"
    assert told["toolkit:source-sha256"] == "0" * 64
    files = {name: part for name, part in parts.items() if part["type"] == "file"}
    assert {part["name"]: part["hashes"][0]["content"] for part in files.values()} == hashes
    assert files["file:app.py"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    libraries = {part["name"]: part for part in parts.values() if part["type"] == "library"}
    for one in report.runtime:
        part = libraries.pop(one.name)
        assert part["version"] == one.version
        assert part["purl"] == one.purl
        assert part["licenses"] == [{"license": {"id": one.license}}]
    assert not libraries
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert set(needs["bundle"]) == {"model", *parts}


@pytest.mark.parametrize("kind", ["rows", "tensors"])
def test_it_is_valid_for_other_models(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ortpackage"
    if kind == "rows":
        row = {"area": 1, "roof": "flat", "rooms": 2}
        table_package(path, rows=[row], name="tabular-regression")
    else:
        builders.matmul(tmp_path / "m.onnx", external="weights.bin")
        export(tmp_path / "m.onnx", path)
    bundle(path, target="python", output=tmp_path / "app", options=UNTESTED)
    names = {part["name"] for part in bill_of(tmp_path / "app")["components"]}
    assert ("model/weights.bin" in names) == (kind == "tensors")


def test_the_serial_number_is_of_the_content(tmp_path: Path) -> None:
    bills = []
    for name, items in (("a", ["film"]), ("b", ["film"]), ("c", ["good"])):
        place = tmp_path / name
        place.mkdir()
        package = text_package(place / "s.ortpackage", items=items)
        bundle(package.path, target="python", output=place / "app", options=UNTESTED)
        bills.append(bill_of(place / "app"))
    assert bills[0] == bills[1]
    assert bills[0]["serialNumber"] != bills[2]["serialNumber"]
    assert "timestamp" not in bills[0]["metadata"]


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = text_package(tmp_path / "a.ortpackage")
    for name in [name for name in sys.modules if name.startswith("cyclonedx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    with pytest.raises(SetupError, match="cyclonedx-python-lib") as caught:
        bundle(package.path, target="python", output=tmp_path / "app")
    assert "[bundle]" in caught.value.fix
    assert not (tmp_path / "app").exists()
