"""A static page that carries ONNX Runtime for the web and the tokenizer in JavaScript."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from select import select
from tempfile import TemporaryFile
from typing import Any

from toolkit.bundle.apps import write_app
from toolkit.bundle.chromium import find_chromium, page
from toolkit.bundle.javascript import javascript
from toolkit.bundle.job import BundleOptions, Job, Target
from toolkit.bundle.npm import described, installed_libraries, package_name, pins, program
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.sizes import LICENSES, RUNTIME_FOLDER
from toolkit.bundle.testing import reported
from toolkit.errors import CheckFailedError, InputError

COMMAND = "python serve.py"
PAGE = "http://127.0.0.1:8000/?self-test"
"""The self-test, once the server runs."""

LARGEST_BYTES = 2**31 - 2**27
"""What a graph may have. It is read into one JavaScript array and parsed as one protobuf, neither
of which takes 2 GiB; 128 MiB of that are left for activations."""

STARTS_WITHIN_S = 30.0
"""How long the bundle's server may take until it says its address; it takes 0.1 s."""

_SHOWN = 2000

INTEGERS = frozenset({"int8", "int8-16bit"})
"""Precisions whose operators WebGPU does not have, so that its runtime would be dead weight."""

_RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_WEBGPU = (
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
_LICENSES = {"onnxruntime-web": "MIT", "@huggingface/tokenizers": "Apache-2.0"}
_OTHERWISE = "--runtime NODE_MODULES, a folder that npm made elsewhere"


def setup(options: BundleOptions) -> None:
    """Refuse a machine that could not fetch the libraries or test the page."""
    if options.self_test:
        find_chromium()
    if options.runtime is None:
        program("npm", "npm")


def has_webgpu(job: Job) -> bool:
    """Whether the bundle carries the WebGPU build of the runtime."""
    return job.model.precision not in INTEGERS


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the page, what it shares with Node, and the runtime beside `model/`."""
    write_app(
        "web",
        folder,
        {
            "model": job.model,
            "package_name": package_name(job.package.manifest.package_name),
            "source": javascript(job.model),
            "webgpu": has_webgpu(job),
        },
    )
    write_app("javascript", folder / "lib", {})
    with (
        as_file(files("toolkit.bundle") / "apps" / "web_runtime") as lock,
        installed_libraries(
            lock, job.options.runtime, progress=job.progress, otherwise=_OTHERWISE
        ) as libraries,
    ):
        return _write_runtime(job, libraries, pins(lock), folder / RUNTIME_FOLDER)


def _write_runtime(
    job: Job, libraries: Path, versions: Mapping[str, str], folder: Path
) -> Sequence[Runtime]:
    folder.mkdir()
    licenses = folder.parent / LICENSES
    distribution = libraries / "onnxruntime-web" / "dist"
    wanted = {
        "onnxruntime-web": [
            distribution / name for name in (*_RUNTIME, *(_WEBGPU if has_webgpu(job) else ()))
        ]
    }
    if job.model.text:
        tokenizers = libraries / "@huggingface" / "tokenizers"
        shutil.copyfile(tokenizers / "LICENSE", licenses / "tokenizers.txt")
        wanted["@huggingface/tokenizers"] = [tokenizers / "dist" / "tokenizers.min.mjs"]
    for copied in wanted.values():
        for file in copied:
            shutil.copyfile(file, folder / file.name)
    return [
        described(
            library,
            versions[library],
            _LICENSES[library],
            sum(file.stat().st_size for file in copied),
            included=True,
        )
        for library, copied in wanted.items()
    ]


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Open the page in headless Chromium, served as the README says, and read what it found."""
    with served(folder) as address, page(timeout_s=job.options.timeout_s) as tab:
        tab.open(f"{address}?self-test")
        tab.wait_for("['ready', 'failed'].includes(document.body?.dataset.state)")
        said = tab.evaluate("JSON.parse(document.getElementById('verdict').textContent || 'null')")
        error = tab.evaluate("document.getElementById('error').textContent")
    return judged(said, error)


def judged(said: dict[str, Any] | None, error: str) -> SelfTestReport:
    """The report of what a page found.

    Args:
        said: Its verdict; None where it came to none.
        error: What it showed instead.

    Raises:
        InputError: The runtime has no such operator.
        CheckFailedError: The page did not pass.
    """
    if said is not None and said.get("passed") is True:
        return reported(said, COMMAND)
    problems = [*(said or {}).get("problems", []), error]
    told = "; ".join(filter(None, problems))
    if operator := (said or {}).get("operator"):
        raise InputError(
            f"onnxruntime-web has no operator {operator} for this graph: {told}",
            expected="a graph of operators that it has",
            fix="--variant NAME, another variant of the package, such as fp32",
        )
    raise CheckFailedError(
        f"the bundle's self-test failed in Chromium: {told}",
        expected="the answers that this machine gave",
        fix="toolkit validate PKG shows whether the package itself is right here",
    )


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which the bundle's own server gives out a bundle, for a while.

    Raises:
        CheckFailedError: The server does not start.
    """
    with (
        TemporaryFile("w+") as told,
        subprocess.Popen(
            [sys.executable, "-B", "serve.py", "0"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            ready, _, _ = select([server.stdout], [], [], STARTS_WITHIN_S)
            address = server.stdout.readline().strip() if ready else ""
            if not address:
                told.seek(0)
                why = told.read().strip()[-_SHOWN:] or f"it said nothing in {STARTS_WITHIN_S:g} s"
                raise CheckFailedError(
                    f"the bundle's server (python serve.py) did not start: {why}",
                    expected="a server on this machine, for the self-test",
                    fix="--no-self-test writes the bundle without it, on your word",
                )
            yield address
        finally:
            server.terminate()


def notes(_job: Job) -> Sequence[str]:
    """What to open, since no command alone shows a page."""
    return (f"the self-test in a browser: {PAGE}, once python serve.py runs",)


TARGET = Target(
    name="web",
    about="a static page on onnxruntime-web, WebAssembly or WebGPU",
    write=write,
    self_test=self_test,
    command=COMMAND,
    notes=notes,
    reads=frozenset({"runtime"}),
    setup=setup,
    largest_bytes=LARGEST_BYTES,
    over_the_wire=True,
    float_only=frozenset(_WEBGPU),
)
