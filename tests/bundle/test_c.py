"""The target c: a program that builds without a warning and answers as the package does."""

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

import toolkit
from tests.bundle.arm64_root import onnxruntime_wheel
from tests.bundle.c_programs import SANITIZERS, built, need, run
from tests.bundle.scripts_lines import lines
from tests.tiny_package import write_tiny_package
from toolkit import CheckFailedError, InputError, SetupError
from toolkit.bundle import BundleOptions, bundle, native
from toolkit.bundle.native import release_of, runtime_library

NOT_TESTED = BundleOptions(self_test=False)
FAKE = """#include <stddef.h>
static void *nothing(void) { return NULL; }
static void *(*functions[600])(void);
static const void *api(unsigned version) {
  for (int i = 0; i < 600; ++i) functions[i] = nothing;
  return version == 31 ? (const void *)functions : NULL;
}
static const char *release(void) { return "1.31.0"; }
static const struct { const void *(*api)(unsigned); const char *(*release)(void); } base = {
    api, release};
const void *OrtGetApiBase(void) { return &base; }
"""
"""A library whose every function succeeds and makes nothing."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("c") / "tiny.ortpackage").path


@pytest.fixture(scope="module")
def folder(package: Path) -> Path:
    """A bundle, built with warnings as errors."""
    target = package.parent / "bundle"
    bundle(package, target="c", output=target, options=NOT_TESTED)
    built(target, target / "build", "-DSTRICT=ON")
    return target


@pytest.mark.slow
def test_a_bundle_is_kept_after_its_self_test_on_the_installed_library(
    package: Path, tmp_path: Path
) -> None:
    need("cc", "cmake", "make")
    report = bundle(package, target="c", output=tmp_path / "bundle")
    test, (runtime,) = report.self_test, report.runtime
    assert (test.ran, test.cases, test.largest_difference) == (True, 2, 0.0)
    assert test.where == f"onnxruntime {runtime.version}"
    assert not runtime.included
    assert (runtime.size_bytes or 0) > 10_000_000
    assert {part.path for part in report.parts} >= {"include/LICENSE", "src/model.h", "README.md"}
    assert not (tmp_path / "bundle/build").exists()
    readme = (tmp_path / "bundle/README.md").read_text()
    assert len(readme.splitlines()) <= 45
    (without_cmake,) = re.findall("`(cc .*)`\\. ", readme)
    subprocess.run(without_cmake, shell=True, check=True, cwd=tmp_path / "bundle", timeout=120)  # noqa: S602 - ours
    done = run(tmp_path / "bundle/app", "--self-test", folder=tmp_path / "bundle")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "self_test.bin", "model.json"])
def test_the_self_test_fails_where_one_byte_was_changed(folder: Path, name: str) -> None:
    passed = run(folder / "build/app", "--self-test", folder=folder)
    assert passed.returncode == 0, passed.stderr
    assert json.loads(passed.stdout.splitlines()[-1])["passed"] is True
    file = folder / "model" / name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        failed = run(folder / "build/app", "--self-test", folder=folder)
    finally:
        file.write_bytes(content)
    # What breaks the graph itself does not load, which is an error before the test.
    assert failed.returncode in ({1, 4} if name == "model.onnx" else {1})
    assert (f"{name} was changed" in failed.stderr.decode()) == (failed.returncode == 1)


@pytest.mark.slow
def test_the_program_answers_as_the_package_does(package: Path, folder: Path) -> None:
    texts = ["good film", "bad", "", "\u00e4\U0001f600 film", '"quoted" \\ good']
    wanted = [toolkit.load(package)(text) if text else None for text in texts]
    for arguments, stdin in ((texts, b""), ([], "\n".join(texts).encode())):
        done = run(folder / "build/app", *arguments, folder=folder, lines=stdin)
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(found) == len(texts)
        for answer, expected in zip(found, wanted, strict=True):
            if expected is not None:
                assert answer["label"] == expected["label"]
                assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-12)


@pytest.mark.slow
def test_onnx_runtime_opens_the_whole_package_in_place_of_the_graph(
    package: Path, folder: Path
) -> None:
    done = run(folder / "build/app", "--package", package, "--self-test", folder=folder)
    assert done.returncode == 0, done.stderr
    assert b"variant fp32" in done.stderr
    missing = run(folder / "build/app", "--package", "/nowhere", "good", folder=folder)
    assert missing.returncode == 4
    assert b"/nowhere" in missing.stderr


@pytest.mark.slow
def test_errors_say_what_is_wrong_and_what_to_set(folder: Path, tmp_path: Path) -> None:
    program = folder / "build/app"
    named = run(program, "good", folder=folder, library="/nowhere/libonnxruntime.so")
    assert (named.returncode, named.stdout) == (4, b"")
    assert b"/nowhere/libonnxruntime.so, which $ONNXRUNTIME_LIB names" in named.stderr
    none = run(program, "good", folder=folder, library="")
    assert none.returncode == 4
    assert b"set ONNXRUNTIME_LIB" in none.stderr
    broken = run(program, folder=folder, lines=b"good\n\xff\n")
    assert broken.returncode == 3
    assert b"line 2: the text is not UTF-8" in broken.stderr
    assert len(broken.stdout.splitlines()) == 1
    elsewhere = run(program, "--model", tmp_path, "good", folder=folder)
    assert elsewhere.returncode == 4
    assert b"model.onnx" in elsewhere.stderr
    wrong = (["--nothing"], ["--threads", "3x"], ["--bench", "0"], ["--bench", "9999999999"])
    for arguments in (*wrong, ["--threads"]):
        assert run(program, *arguments, folder=folder).returncode == 2


@pytest.mark.slow
def test_help_is_an_answer_and_a_bench_prints_durations(folder: Path) -> None:
    helped = run(folder / "build/app", "--help", folder=folder)
    assert (helped.returncode, helped.stderr) == (0, b"")
    assert helped.stdout.startswith(b"usage: app")
    measured = run(folder / "build/app", "--bench", "2", folder=folder)
    said = json.loads(measured.stdout)
    since_start = said["start_to_first_answer_ms"]
    assert said["first_answer_ms"] < since_start < said["clock_at_first_answer_ms"]
    assert "first_answer_at_ms" not in said  # which was the clock under a duration's name


@pytest.mark.slow
def test_input_that_cannot_be_read_and_output_that_cannot_be_written_are_errors(
    folder: Path,
) -> None:
    environment = {**os.environ, "ONNXRUNTIME_LIB": str(runtime_library(BundleOptions(), folder))}
    command = [str(folder / "build/app"), "--model", str(folder / "model")]

    def ended(*items: str, source: int, target: int) -> tuple[int, bytes]:
        done = subprocess.run(
            [*command, *items],
            env=environment,
            stdin=source,
            stdout=target,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr

    unreadable, full = os.open(folder, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
    try:
        unread = ended(source=unreadable, target=subprocess.DEVNULL)
        unwritten = ended("good", source=subprocess.DEVNULL, target=full)
    finally:
        os.close(unreadable)
        os.close(full)
    assert unread == (3, b"error: line 1 cannot be read\n")
    assert unwritten == (3, b"error: the answers cannot be written\n")


@pytest.mark.slow
def test_a_library_in_this_folder_is_loaded_and_may_read_no_packages(
    package: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "fake.c").write_text(FAKE)
    command = ["cc", "-shared", "-fPIC", "-o", "libfake.so", "fake.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    program = folder / "build/app"
    done = run(program, "--package", package, "good", folder=tmp_path, library="libfake.so")
    assert done.returncode == 4
    assert b"this build of ONNX Runtime 1.31.0 reads no model packages" in done.stderr


@pytest.mark.slow
def test_no_memory_is_misused(package: Path, folder: Path) -> None:
    """Built with the address, leak and undefined-behavior sanitizers."""
    flags = " ".join(SANITIZERS)
    settings = ("-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_C_FLAGS={flags}")
    program = built(folder, folder / "sanitized", *settings) / "app"
    stdin = "\n".join(lines(300)).encode()
    for arguments in (
        ("--self-test",),
        (),
        ("--bench", "3"),
        ("--pair", "good", "bad"),
        ("--package", package, "good"),
    ):
        done = run(program, *arguments, folder=folder, lines=stdin)
        assert (done.returncode, b"Sanitizer" in done.stderr) == (0, False), done.stderr
    for failing in ((), ("--package", "/nowhere", "x"), ("--model", "/nowhere", "x")):
        done = run(program, *failing, folder=folder, lines=b"\xff")
        assert (done.returncode > 2, b"Sanitizer" in done.stderr) == (True, False), done.stderr


@pytest.mark.slow
def test_a_bundle_for_arm64_gives_the_same_answers_under_qemu(
    package: Path, tmp_path: Path
) -> None:
    need("cmake", "make", "aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    options = BundleOptions(architecture="arm64", runtime=onnxruntime_wheel())
    report = bundle(package, target="c", output=tmp_path / "bundle", options=options)
    assert report.self_test.ran
    assert report.self_test.where.endswith(", arm64")
    assert report.self_test.largest_difference is not None
    assert report.self_test.largest_difference <= 1e-5


@pytest.mark.slow
def test_without_a_compiler_or_a_library_the_package_to_install_is_named(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm64 = BundleOptions(architecture="arm64")
    with pytest.raises(SetupError, match="arm64") as raised:
        bundle(package, target="c", output=tmp_path / "bundle", options=arm64)
    assert "pip download" in raised.value.fix
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="cmake") as raised:
        bundle(package, target="c", output=tmp_path / "bundle")
    assert "apt-get install cmake" in raised.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_build_that_does_not_end_is_an_error(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("cc", "make")
    (tmp_path / "cmake").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "cmake").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(native, "_BUILD_S", 0.1)
    with pytest.raises(CheckFailedError, match="cmake -G did not build") as raised:
        bundle(package, target="c", output=tmp_path / "bundle")
    assert "--no-self-test" in raised.value.fix
    assert not (tmp_path / "bundle").exists()


def library(machine: int) -> bytes:
    """The head of an ELF file for a processor, and the symbol version that a release has."""
    return b"\x7fELF".ljust(18, b"\0") + machine.to_bytes(2, "little") + b"\0VERS_1.31.1\0"


def test_a_library_for_another_processor_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "onnxruntime.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("onnxruntime/capi/libonnxruntime.so.1.31.1", library(183))
    arm64 = BundleOptions(architecture="arm64", runtime=wheel)
    found = runtime_library(arm64, tmp_path)
    assert found is not None
    assert release_of(found) == "1.31.1"
    (tmp_path / "x86.so").write_bytes(library(62))
    wrong = BundleOptions(architecture="arm64", runtime=tmp_path / "x86.so")
    with pytest.raises(InputError, match="another processor than arm64"):
        runtime_library(wrong, tmp_path)
    (tmp_path / "text.so").write_text("no library")
    for name, problem in (("text.so", "no shared library"), ("none.so", "no file")):
        options = BundleOptions(architecture="arm64", runtime=tmp_path / name)
        with pytest.raises(InputError, match=problem):
            runtime_library(options, tmp_path)
