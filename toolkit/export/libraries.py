"""The extra `export`: whether it is installed, and how to keep its libraries quiet."""

import gc
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import PackageNotFoundError, version

from toolkit.errors import SetupError
from toolkit.library_noise import less_logged

_PACKAGES = {"onnx", "onnx_ir", "onnxscript", "onnxslim", "safetensors", "torch"}
_LOGGERS = (
    "torch",
    "torch.onnx",
    "torch.export",
    "torch._dynamo",
    "onnxscript",
    "onnx_ir",
    "transformers",
    "torchao",
)


@contextmanager
def export_extra(doing: str = "exporting") -> Iterator[None]:
    """Turn a missing package of the extra into the error that names it.

    Args:
        doing: What needs it.

    Raises:
        SetupError: A package of the extra is not installed.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        raise SetupError(
            f"{doing} needs {error.name}, which is not installed",
            fix="pip install 'onnx-edge-toolkit[cpu,export]'",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what exporters log, warn about and print; everything is as before afterwards."""
    with (
        less_logged(*_LOGGERS, below=logging.CRITICAL),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),  # torch.export prints the graph that it gave up on
    ):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def collecting_later() -> Iterator[None]:
    """Leave unreachable cycles for later, where much is made that stays.

    Importing torch and transformers makes objects that all stay, and each pass of the collector
    looks at all of them: a sixth of the time of an export went there.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def versions(*distributions: str) -> dict[str, str]:
    """Version by distribution name, without those that are not installed."""
    found: dict[str, str] = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
