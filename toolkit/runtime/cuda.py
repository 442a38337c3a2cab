"""What CUDA needs beside a session: its libraries, and shapes that a graph can be captured of."""

import contextlib
import io
from collections.abc import Mapping, Sequence

from toolkit.errors import SetupError
from toolkit.runtime.dimensions import how_to_fix, needs_sizes
from toolkit.runtime.providers import Provider
from toolkit.tensors import TensorSpec

NVIDIA = frozenset({Provider.CUDA, Provider.TENSORRT})
"""Providers that compute with NVIDIA's libraries."""

_CAPTURES = {
    Provider.CUDA: "enable_cuda_graph",
    Provider.TENSORRT: "trt_cuda_graph_enable",
    Provider.WEBGPU: "enableGraphCapture",
}
"""The option that has a provider record its kernels once and replay them."""


def preload() -> None:
    """Load CUDA's and cuDNN's libraries from the wheels of NVIDIA, where the system has none.

    ONNX Runtime's own search finds only what the system's loader knows. What is then still missing
    is named in its log, see `why_nothing`.
    """
    import onnxruntime as ort

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its failures
        ort.preload_dlls(directory="")


def is_captured(provider: Provider, options: Mapping[str, str]) -> bool:
    """Whether the options ask for a captured graph."""
    return options.get(_CAPTURES.get(provider, "")) == "1"


def device_among(provider: Provider, options: Mapping[str, str]) -> int:
    """The number of the GPU that NVIDIA's providers are asked to compute on; 0 for the others."""
    return int(options.get("device_id", "0")) if provider in NVIDIA else 0


def check_capturable(
    provider: Provider, options: Mapping[str, str], inputs: Sequence[TensorSpec]
) -> None:
    """Refuse a captured graph of symbolic dimensions: it is replayed for one shape alone.

    Raises:
        SetupError: A dimension has no fixed size.
    """
    problem = needs_sizes(inputs, f"{_CAPTURES.get(provider, '')} of {provider.ort_name}")
    if problem and is_captured(provider, options):
        raise SetupError(problem, expected="one size a dimension", fix=how_to_fix(inputs))
