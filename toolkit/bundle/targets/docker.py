"""A container image of a server that speaks the Open Inference Protocol over HTTP."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from toolkit.bundle.apps import write_app
from toolkit.bundle.image import (
    BASE,
    UNUSED_FILES,
    UNUSED_FOLDERS,
    check_image,
    kept_bytes,
    layers,
    shown,
)
from toolkit.bundle.job import Job, Target
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.runtimes import installed
from toolkit.bundle.serving import example_request, put_python_app, served_name
from toolkit.bundle.testing import run_with_this_python
from toolkit.bundle.wheels import wheel_hashes

COMMAND = "python self_test.py"

_WORTH_SAYING_BYTES = 1_000_000
"""What the image leaves out of a library before the report tells it."""

# Starlette and uvicorn with all that they import; pip is told not to look for more, because
# onnxruntime and tokenizers name libraries that answering does not need.
_LICENSES = {
    "onnxruntime": "MIT",
    "numpy": "BSD-3-Clause",
    "tokenizers": "Apache-2.0",
    "starlette": "BSD-3-Clause",
    "uvicorn": "BSD-3-Clause",
    "anyio": "MIT",
    "click": "BSD-3-Clause",
    "h11": "MIT",
    "idna": "BSD-3-Clause",
    "typing_extensions": "PSF-2.0",
}


def _runtime(job: Job) -> list[Runtime]:
    needed = [name for name in _LICENSES if name != "tokenizers" or job.model.text]
    found = [installed(name, _LICENSES[name]) for name in needed]
    kept = [replace(one, size_bytes=kept_bytes(one.name)) for one in found]
    shares = [
        f"{part.name} {(part.size_bytes or 0) / 1e6:.1f} of {(whole.size_bytes or 0) / 1e6:.1f} MB"
        for part, whole in zip(kept, found, strict=True)
        if (whole.size_bytes or 0) - (part.size_bytes or 0) >= _WORTH_SAYING_BYTES
    ]
    if shares:
        job.remarks.append(
            f"the image leaves out what answering does not need: {', '.join(shares)}"
        )
    return kept


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put server, Dockerfile and pinned requirements beside `model/`.

    Raises:
        CheckFailedError: The image would be too large.
    """
    runtime = _runtime(job)
    parts = layers(folder, runtime)
    check_image(parts)
    job.remarks.append(f"image: {shown(parts)}")
    put_python_app(folder)
    write_app("oip", folder, {})
    write_app(
        "docker",
        folder,
        {
            "model": job.model,
            "runtime": runtime,
            "hashes": wheel_hashes(runtime, job.options.runtime, job.progress),
            "base": BASE,
            "unused": [*UNUSED_FOLDERS, *UNUSED_FILES],
            "image": shown(parts),
            "request": example_request(job.model),
            "name": served_name(job.model),
            "address": quote(job.model.name, safe=""),
        },
    )
    return runtime


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Start the server with this interpreter, and ask it over HTTP."""
    return run_with_this_python(
        ["self_test.py"], folder, shown=COMMAND, timeout_s=job.options.timeout_s
    )


def notes(_job: Job) -> Sequence[str]:
    """What was not done here."""
    return (f"no image was built here; {BASE} is named by its tag, its digest is not known here",)


TARGET = Target(
    name="docker",
    about="a container image of a server that speaks the Open Inference Protocol",
    write=write,
    self_test=self_test,
    command=COMMAND,
    reads=frozenset({"runtime"}),
    notes=notes,
)
