"""`toolkit bundle --target kserve`: the manifest, by the models that KServe's client ships."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.bundle.serving_packages import flip_byte
from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleReport, bundle
from toolkit.bundle.targets.kserve import memory_gib
from toolkit.bundle.testing import verdict

pytestmark = pytest.mark.slow

IN_CI = os.environ.get("CI") == "true"
CLIENTS = ("kserve==0.21.0", "kubernetes==32.0.1")
Fields = dict[str, tuple[str, str]]
"""Of each key in a document: the attribute and its type."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BundleReport:
    folder = tmp_path_factory.mktemp("kserve")
    package = write_tiny_package(folder / "Tiny_Words.ortpackage")
    return bundle(package.path, target="kserve", output=folder / "out")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fields]:
    """The fields of every class of the two clients' models, read without importing them."""
    folder = tmp_path_factory.mktemp("clients")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "-d", str(folder)]
    done = subprocess.run(
        [*command, *CLIENTS], capture_output=True, text=True, check=False, timeout=240
    )
    if done.returncode:
        if IN_CI:
            pytest.fail(done.stderr)
        pytest.skip(f"{', '.join(CLIENTS)} cannot be fetched")
    found: dict[str, Fields] = {}
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.fullmatch(r"(kserve|kubernetes/client)/models/v1[a-z0-9]*_\w+\.py", name):
                    found |= _fields(archive.read(name).decode())
    assert {"V1beta1InferenceService", "V1Probe", "V1ObjectMeta"} <= set(found)
    return found


def _fields(source: str) -> dict[str, Fields]:
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            tables = {
                target.id: ast.literal_eval(one.value)
                for one in node.body
                if isinstance(one, ast.Assign)
                for target in one.targets
                if isinstance(target, ast.Name) and target.id in {"openapi_types", "attribute_map"}
            }
            if len(tables) == 2:
                types, keys = tables["openapi_types"], tables["attribute_map"]
                found[node.name] = {keys[name]: (name, kind) for name, kind in types.items()}
    return found


PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool}


def problems(document: Any, kind: str, published: dict[str, Fields], at: str = "") -> list[str]:
    """Where a document is not of a type."""
    if kind in PLAIN:
        right = isinstance(document, PLAIN[kind]) and (kind == "bool") == isinstance(document, bool)
        return [] if right else [f"{at} is {document!r}, no {kind}"]
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        each = enumerate(document)
        return [w for n, one in each for w in problems(one, inner[1], published, f"{at}[{n}]")]
    if inner := re.fullmatch(r"dict[(\[]str, (.+)[)\]]", kind):
        pairs = document.items()
        return [w for key, one in pairs for w in problems(one, inner[1], published, f"{at}.{key}")]
    if kind not in published:  # a quantity, or a number or name of a port
        return [] if isinstance(document, str | int) else [f"{at} is {document!r}, no {kind}"]
    if not isinstance(document, dict):
        return [f"{at} is {document!r}, no {kind}"]
    wrong = []
    for key, value in document.items():
        if key not in published[kind]:
            wrong.append(f"{at}.{key} is no field of {kind}")
        else:
            wrong += problems(value, published[kind][key][1], published, f"{at}.{key}")
    return wrong


def manifest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manifest.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_the_manifest_is_what_kserve_s_client_knows(
    made: BundleReport, published: dict[str, Fields]
) -> None:
    done = manifest(made.path, "--storage-uri", "s3://bucket/tiny")
    assert done.returncode == 0, done.stderr
    document = yaml.safe_load(done.stdout)
    assert problems(document, "V1beta1InferenceService", published) == []
    assert (document["apiVersion"], document["kind"]) == (
        "serving.kserve.io/v1beta1",
        "InferenceService",
    )
    model = document["spec"]["predictor"]["model"]
    assert model["protocolVersion"] == "v2"
    assert model["runtime"] == "kserve-tritonserver"
    assert model["storageUri"] == "s3://bucket/tiny"
    assert model["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    (served,) = (made.path / "models").iterdir()
    assert document["metadata"]["name"] == served.name == "tiny-words"
    assert model["readinessProbe"]["httpGet"]["path"] == f"/v2/models/{served.name}/ready"


def test_the_check_itself_finds_a_wrong_field(published: dict[str, Fields]) -> None:
    model = {"storageURI": "s3://b", "readinessProbe": {"periodSeconds": "5"}}
    wrong = problems(model, "V1beta1ModelSpec", published)
    assert wrong == [
        ".storageURI is no field of V1beta1ModelSpec",
        ".readinessProbe.periodSeconds is '5', no int",
    ]


@pytest.mark.parametrize("uri", ["", "unset://run-manifest.py", "/mnt/models", "s3://a b", "s3://"])
def test_without_a_storage_uri_there_is_no_manifest(made: BundleReport, uri: str) -> None:
    done = manifest(made.path, "--storage-uri", uri)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "s3://BUCKET/FOLDER" in done.stderr
    assert (repr(uri) if uri else "nothing") in done.stderr


def test_the_file_itself_has_an_address_that_kserve_refuses(made: BundleReport) -> None:
    document = yaml.safe_load((made.path / "inferenceservice.yaml").read_text())
    assert document["spec"]["predictor"]["model"]["storageUri"].startswith("unset://")
    assert any("storageUri" in note for note in made.notes)


def test_memory_grows_with_the_model() -> None:
    assert [memory_gib(size) for size in (1, 91_000_000, 1_500_000_000)] == [2, 2, 7]


def self_test(folder: Path) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "self_test.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.returncode, verdict(done.stdout), done.stderr


def test_the_self_test_fails_for_one_byte_and_for_a_manifest_of_another_model(
    made: BundleReport, tmp_path: Path
) -> None:
    assert made.self_test.ran
    assert made.self_test.cases == 2
    folder = tmp_path / "copy"
    shutil.copytree(made.path, folder)
    file = folder / "inferenceservice.yaml"
    file.write_text(file.read_text().replace("name: tiny-words", "name: tiny"))
    code, said, told = self_test(folder)
    assert (code, said["passed"]) == (1, False)
    assert "name: tiny-words" in told
    graph = folder / "models/tiny-words/1/model.onnx"
    flip_byte(graph, at=graph.read_bytes().index(np.float32(5).tobytes()) + 2)
    code, said, told = self_test(folder)
    assert (code, said["passed"]) == (1, False)
    assert "model.onnx was changed" in told
