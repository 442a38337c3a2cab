"""C11 sources with CMake: the model for any program, and a command."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.bundle.apps import write_app
from toolkit.bundle.c_example import write_example
from toolkit.bundle.c_model import check_model, model_source
from toolkit.bundle.c_source import HEADER, tokenizer_source
from toolkit.bundle.document import DOCUMENT, FOLDER, AppModel
from toolkit.bundle.job import BundleOptions, Job, Target
from toolkit.bundle.native import (
    build,
    check_machine,
    missing_library,
    processor,
    release_of,
    runtime_library,
)
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.runtimes import installed
from toolkit.bundle.testing import run_self_test
from toolkit.bundle.tokenizing import check_tokenizer, tables_of
from toolkit.package.integrity import file_sha256

COMMAND = "cmake -S . -B build && cmake --build build && build/app --self-test"


def setup(options: BundleOptions) -> None:
    """Refuse a machine that could not build and run the program for its self-test."""
    if options.self_test:
        check_machine(options)


def check(job: Job) -> None:
    """Refuse tokenizers and tensors that the program has no code for."""
    check_model(job.model)
    text, folder = job.model.text, job.package.asset("preprocessing")
    if text is not None and folder is not None:
        check_tokenizer((folder / text.tokenizer).read_text(encoding="utf-8"), "c")


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the sources beside `model/`, and in `data/` what they know of this model."""
    runtime = [_runtime(job)]
    values = {"model": job.model, "runtime": runtime, "asks": _asks(job.model)}
    write_app("c", folder, {**values, "example": write_example(job.model, folder)})
    data = folder / "data"
    data.mkdir()
    digest = file_sha256(folder / FOLDER / DOCUMENT)
    (data / "model_data.c").write_text(model_source(job.model, digest), encoding="ascii")
    tokenizer = f'{HEADER}#include "model_data.h"\n'  # a text model's; ISO C forbids an empty file
    if job.model.text is not None:
        file = folder / FOLDER / job.model.text.tokenizer
        tokenizer = tokenizer_source(tables_of(file.read_text(encoding="utf-8")))
    (data / "tokenizer_data.c").write_text(tokenizer, encoding="ascii")
    return runtime


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Build it, and run it on the library of the processor that it is for."""
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        library = runtime_library(job.options, scratch)
        if library is None:
            raise missing_library(job.options)
        command = build(folder, scratch, job.options)
        report = run_self_test(
            [*command, "--self-test"],
            folder,
            shown=COMMAND,
            timeout_s=job.options.timeout_s,
            environment={"ONNXRUNTIME_LIB": str(library)},
        )
    wanted = processor(job.options)
    return report if wanted is None else replace(report, where=f"{report.where}, {wanted.name}")


def _runtime(job: Job) -> Runtime:
    """ONNX Runtime's library: the one that the self-test runs on, or the release installed."""
    with tempfile.TemporaryDirectory() as place:
        library = runtime_library(job.options, Path(place))
        if library is None:
            version, size = installed("onnxruntime", "MIT").version, None
        else:
            version, size = release_of(library), library.stat().st_size
    return Runtime(
        name="onnxruntime",
        version=version,
        license="MIT",
        purl=f"pkg:github/microsoft/onnxruntime@v{version}",
        size_bytes=size,
        included=False,
    )


def _asks(model: AppModel) -> str:
    if model.text is not None:
        return "texts (`--pair FIRST SECOND` for two that belong together)"
    if model.columns is not None:
        return "rows, the columns in order with commas between them,"
    return "files with raw " + ("pixels" if model.image is not None else "tensors, in C order,")


def notes(_job: Job) -> Sequence[str]:
    """Where the program looks for its library."""
    return ("build/app loads $ONNXRUNTIME_LIB, or libonnxruntime.so beside it or the system's",)


TARGET = Target(
    name="c",
    about="C11 sources with CMake, which load ONNX Runtime's shared library",
    write=write,
    self_test=self_test,
    setup=setup,
    check=check,
    command=COMMAND,
    notes=notes,
    reads=frozenset({"architecture", "runtime"}),
    reads_for_another=frozenset({"sysroot"}),
)
