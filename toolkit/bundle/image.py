"""How large a container image becomes, by calculation: no daemon builds it here."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path

from toolkit.bundle.document import FOLDER
from toolkit.bundle.report import Runtime
from toolkit.errors import CheckFailedError

BASE = "python:3.11.14-slim-bookworm"
"""The base image. No registry is within reach when bundles are made, so its digest is not known."""

BASE_BYTES = 150_000_000
"""The base image unpacked. Figures that people published of 3.11-slim-bookworm lie between 120 and
150 MB, as `docker image ls` counts; the largest is taken."""

COMPILED_BYTES = 5_000_000
"""Compiled modules of what the server imports: 3.9 MB were measured with the versions below."""

MOST_BYTES = 350_000_000
"""What an image may have."""

# onnxruntime 1.31, numpy 2.4: what a server never imports. libonnxruntime.so is for C programs; the
# Python module holds the runtime itself.
UNUSED_FOLDERS = (
    "bin",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "numpy/f2py",
)
UNUSED_FILES = ("onnxruntime/capi/libonnxruntime.so.*",)

_APP_BYTES = 100_000


def kept_bytes(name: str) -> int:
    """Bytes of a distribution that is installed here, without what the image leaves out."""
    found = distribution(name)
    total = 0
    for file in found.files or ():
        located = Path(str(found.locate_file(file)))
        if not _is_unused(file.as_posix()) and located.is_file():
            total += located.stat().st_size
    return total


def _is_unused(path: str) -> bool:
    parts = path.split("/")
    return (
        path.startswith("..")
        or path.endswith((".pyc", ".pyi"))
        or "tests" in parts[:-1]
        or any(path.startswith(f"{folder}/") for folder in UNUSED_FOLDERS)
        or any(fnmatch(path, pattern) for pattern in UNUSED_FILES)
    )


def layers(folder: Path, runtime: Sequence[Runtime]) -> Mapping[str, int]:
    """Bytes of the image's parts, unpacked.

    Args:
        folder: The bundle, whose `model/` is written.
        runtime: The distributions in it, as small as they are there.
    """
    files = [file for file in (folder / FOLDER).rglob("*") if file.is_file()]
    model = sum(file.stat().st_size for file in files)
    return {
        f"{BASE} (published figures; not measured here)": BASE_BYTES,
        "Python packages": sum(one.size_bytes or 0 for one in runtime) + COMPILED_BYTES,
        "model and app": model + _APP_BYTES,
    }


def check_image(parts: Mapping[str, int]) -> None:
    """Refuse an image that is larger than it may be.

    Raises:
        CheckFailedError: It is.
    """
    total = sum(parts.values())
    if total > MOST_BYTES:
        raise CheckFailedError(
            f"the image would have {shown(parts)}",
            expected=f"at most {MOST_BYTES / 1e6:.0f} MB",
            fix="a smaller variant: toolkit quantize PKG, then --variant NAME",
        )


def shown(parts: Mapping[str, int]) -> str:
    """The sum and what it is of, in megabytes."""
    told = " + ".join(f"{name} {size / 1e6:.1f}" for name, size in parts.items())
    return f"{sum(parts.values()) / 1e6:.1f} MB = {told}"
