"""ONNX Runtime's own model-package C API opens our packages, in a C program that knows no more.

Two releases of it: 1.29, the first that has the schema, from an npm package that also brings the
headers; and the one of the installed wheel, where the API is stable.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import toolkit
from tests.package import two_components
from tests.tiny_package import add_preferred_variant, write_tiny_package
from toolkit.package import ModelPackage
from toolkit.package.write import CompiledFor, add_variant, staging_directory
from toolkit.tensors import Array, Feeds

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
PROGRAM = Path(__file__).parent / "c" / "package_infer.c"
APP = REPOSITORY / "toolkit" / "bundle" / "apps" / "c"
NPM_PACKAGE = "com.github.asus4.onnxruntime@0.4.9"  # ONNX Runtime 1.29.0, MIT
NPM_SHA256 = "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d"
NPM_LIBRARY = "package/Plugins/Linux/x64/libonnxruntime.so"
# The headers are those of every platform; the npm package keeps them with its iOS framework.
NPM_HEADERS = "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers"

Edit = Callable[[Any, Any], object]
"""Changes a decoded manifest and component."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the C program printed."""

    runtime: str
    variant: str
    outputs: dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class CProgram:
    """The compiled program with one ONNX Runtime library."""

    executable: Path
    library: Path

    def run(
        self, package: Path, feeds: Feeds, *, component: str = "model"
    ) -> subprocess.CompletedProcess[str]:
        arguments = []
        for name, value in feeds.items():
            file = package.parent / f"{name}.bin"
            file.write_bytes(np.ascontiguousarray(value).tobytes())
            arguments.append(f"{name}:{'x'.join(map(str, value.shape))}:{file}")
        return subprocess.run(
            [self.executable, self.library, package, component, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        )

    def answer(self, package: Path, feeds: Feeds, *, component: str = "model") -> Answer:
        completed = self.run(package, feeds, component=component)
        assert completed.returncode == 0, completed.stderr
        facts = [line.split(" ") for line in completed.stdout.splitlines()]
        outputs = {
            name: np.array(values, dtype).reshape([int(size) for size in shape.split("x")])
            for kind, name, dtype, shape, *values in (fact for fact in facts if len(fact) > 2)
            if kind == "output"
        }
        named = {fact[0]: fact[1] for fact in facts if len(fact) == 2}
        return Answer(runtime=named["runtime"], variant=named["variant"], outputs=outputs)


@pytest.fixture(scope="session")
def npm_package() -> Path:
    """The unpacked npm package, kept in the clone: it is a download of 150 MB."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the npm package's library is for Linux on x86-64")
    for tool in ("cc", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    unpacked = REPOSITORY / ".cache" / f"npm-{NPM_SHA256[:16]}"
    if unpacked.is_dir():
        return unpacked
    unpacked.parent.mkdir(exist_ok=True)
    partial = Path(f"{unpacked}.{os.getpid()}")
    partial.mkdir()
    try:
        subprocess.run(
            ["npm", "pack", "--silent", NPM_PACKAGE],
            cwd=partial,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=600,
        )
        (archive,) = partial.glob("*.tgz")
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == NPM_SHA256
        with tarfile.open(archive) as files:
            wanted = [
                member
                for member in files
                if member.name == NPM_LIBRARY or member.name.startswith(f"{NPM_HEADERS}/")
            ]
            files.extractall(partial, members=wanted, filter="data")
        archive.unlink()
        if not unpacked.is_dir():  # another test process may have been quicker
            partial.rename(unpacked)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return unpacked


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("c") / "package_infer"
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    # -isystem: the warnings are for our program, not for ONNX Runtime's header
    headers = ("-isystem", str(APP / "include"), "-I", str(APP / "src"))
    command = [
        "cc",
        "-std=c11",
        *warnings,
        "-O1",
        *headers,
        "-o",
        str(target),
        str(PROGRAM),
        *(str(APP / "src" / name) for name in ("package.c", "runtime.c")),
        "-ldl",
    ]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture(params=["1.29", "installed"])
def program(request: pytest.FixtureRequest, npm_package: Path, executable: Path) -> CProgram:
    library = npm_package / NPM_LIBRARY
    if request.param == "installed":
        import onnxruntime

        (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    return CProgram(executable=executable, library=library)


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


@pytest.fixture
def feeds() -> dict[str, Array]:
    return {"input_ids": np.array([[1, 9, 3], [2, 0, 0]])}


def edit(package: ModelPackage, change: Edit) -> None:
    """Change a package behind our reader's back, to learn what ONNX Runtime's makes of it."""
    files = (package.path / "manifest.json", package.component_directory / "component.json")
    documents = [json.loads(file.read_text()) for file in files]
    change(*documents)
    for file, document in zip(files, documents, strict=True):
        file.write_text(json.dumps(document))


def test_the_headers_in_a_c_bundle_are_those_of_the_release(npm_package: Path) -> None:
    headers = sorted((APP / "include").glob("*.h"))
    assert [header.name for header in headers] == [
        "onnxruntime_c_api.h",
        "onnxruntime_ep_c_api.h",
        "onnxruntime_error_code.h",
    ]
    for header in headers:
        assert header.read_bytes() == (npm_package / NPM_HEADERS / header.name).read_bytes()


def test_the_c_api_computes_what_load_computes(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    answer = program.answer(package.path, feeds)
    ours = toolkit.load(package.path).run(feeds)
    assert answer.outputs.keys() == ours.keys()
    for name, value in ours.items():
        assert answer.outputs[name].dtype == value.dtype
        np.testing.assert_array_equal(answer.outputs[name], value)


def test_the_c_api_computes_what_toolkit_infer_prints(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    np.save(package.path.parent / "ids.npy", feeds["input_ids"])
    command = [sys.executable, "-m", "toolkit", "infer", str(package.path), "--json"]
    completed = subprocess.run(
        [*command, "--input", f"input_ids={package.path.parent / 'ids.npy'}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=REPOSITORY,
    )
    assert completed.returncode == 0, completed.stderr
    answer = json.loads(completed.stdout)
    assert len(answer["results"]) == 2
    positive = [result["scores"]["positive"] for result in answer["results"]]
    logits = program.answer(package.path, feeds).outputs["logits"]
    np.testing.assert_allclose(positive, 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-6)


def test_the_c_api_takes_the_variant_that_the_package_prefers(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    package = add_preferred_variant(package, name="int8", threshold=7, limit=2.0)
    answer = program.answer(package.path, feeds)
    assert answer.variant == package.variant().name == "int8"
    np.testing.assert_array_equal(answer.outputs["logits"], [[2.0], [-5.0]])


def test_the_c_api_passes_over_what_was_compiled_for_a_provider_that_it_has_not(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    with staging_directory(package) as folder:
        shutil.copytree(package.variant("fp32").model.parent, folder / "model")
        package = add_variant(
            package,
            folder / "model",
            name="qnn-57",
            precision="fp16",
            method="qnn-fp16",
            parent="fp32",
            parity={"max_abs_error": 0.0, "limit": 1e-4},
            details={},
            step="compile",
            preferred=True,
            compiled=CompiledFor(
                ep="QNNExecutionProvider",
                provider_options={"backend_type": "htp", "soc_model": "57"},
                compatibility="v2:6:2.51.0:5.51.0:0:57:0:0",
            ),
        )
    assert package.variant().name == "qnn-57"
    assert program.answer(package.path, feeds).variant == "fp32"


def test_the_c_api_opens_each_component_of_a_package_that_has_two(
    program: CProgram, tmp_path: Path
) -> None:
    package = two_components.write_two_components(tmp_path / "two.ortpackage")
    package = two_components.add_decoder(package, bias=2.0)
    encoded = program.answer(package.path, {"input_ids": two_components.IDS}, component="encoder")
    assert encoded.variant == "fp32"
    np.testing.assert_array_equal(encoded.outputs["states"], two_components.STATES)
    feeds = {"decoder_ids": two_components.DECODER_IDS, **encoded.outputs}
    decoded = program.answer(package.path, feeds, component="decoder")
    assert decoded.variant == "int8"
    np.testing.assert_array_equal(decoded.outputs["logits"], two_components.LOGITS + 2)


def test_leftovers_of_an_interrupted_step_do_not_disturb_the_c_api(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    for leftover in ("model/.staging.x", "model/.int8.old", "shared_assets/.tmp"):
        (package.path / leftover).mkdir()
        (package.path / leftover / "model.onnx").write_bytes(b"half of it")
    (package.path / ".manifest.json.new").write_text("{")
    assert program.answer(package.path, feeds).variant == "fp32"


def test_each_release_is_the_one_that_its_library_holds(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    import onnxruntime

    installed = "site-packages" in program.library.parts
    expected = onnxruntime.__version__ if installed else "1.29.0"
    assert program.answer(package.path, feeds).runtime == expected


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda manifest, _: manifest.update(ours=1), "unknown field 'ours'"),
        (lambda _, component: component.update(ours=1), "unknown field 'ours'"),
        (lambda _, component: component["variants"]["fp32"].update(ours=1), "unknown field 'ours'"),
        (lambda manifest, _: manifest.update(schema_version="2.0"), "schema_version major 2"),
        (lambda manifest, _: manifest.update(components={"model": "../model"}), "'..' segments"),
        (
            lambda _, component: component["variants"]["fp32"].update(variant_directory="gone"),
            "does not exist",
        ),
    ],
    ids=["manifest", "component", "variant", "schema", "path", "directory"],
)
def test_the_c_api_refuses_what_our_writer_must_not_write(
    program: CProgram,
    package: ModelPackage,
    feeds: dict[str, Array],
    change: Edit,
    complaint: str,
) -> None:
    edit(package, change)
    completed = program.run(package.path, feeds)
    assert completed.returncode == 1
    assert complaint in completed.stderr


def test_our_writer_leaves_the_device_out_as_older_releases_find_none(
    program: CProgram, package: ModelPackage, feeds: dict[str, Array]
) -> None:
    runtime = program.answer(package.path, feeds).runtime
    edit(package, lambda _, component: component["variants"]["fp32"].update(device="cpu"))
    completed = program.run(package.path, feeds)
    if tuple(map(int, runtime.split(".")[:2])) >= (1, 32):
        assert completed.returncode == 0
    else:
        assert completed.returncode == 1
        assert "No suitable model variant" in completed.stderr
