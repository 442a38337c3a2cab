"""Whether an execution provider starts, and what it takes: `python -m toolkit.runtime.probe`.

It runs in a fresh process, where a crash, a log line or a banner on stdout does no harm.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError, ToolkitError
from toolkit.runtime.fresh import answer
from toolkit.runtime.placement import Placement
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.runtime import SessionOptions

RELU = bytes.fromhex(
    "080a3a360a0c0a0178120179220452656c75120472656c755a0f0a0178120a0a08080112040a020801620f0a0179"
    "120a0a08080112040a02080142040a001014"
)
"""A model of one node, y = Relu(x) on float32[1], so that the probe needs no onnx."""


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Open a session: of one node, which is run too, or of a given model.

    Args:
        request: `provider`, the word that `--provider` takes; and for a given model `model`, its
            file, and `config`, its session configuration; `provider_options` and `fix_shapes` where
            they are not the defaults.

    Returns:
        `built_in` (ONNX Runtime's names), `started`, `why` when it did not, `placement` (nodes by
        ONNX Runtime's provider name), `operators` (by that name and operator type), and `cuda`, the
        release of CUDA that the wheel was built with; empty for none.

    Raises:
        SetupError: onnxruntime is missing.
    """
    from toolkit.runtime import SessionOptions
    from toolkit.runtime.session import built_in_providers

    provider = Provider(request["provider"])
    built_in = built_in_providers()
    _log_warnings()
    options = SessionOptions(
        provider=provider,
        provider_options=request.get("provider_options", {}),
        fix_shapes=request.get("fix_shapes", {}),
        threads=1,
    )
    placed = Placement(operators={})
    why = ""
    try:
        if "model" in request:
            placed = _place(Path(request["model"]), request["config"], options)
        else:
            placed = _start(options)
    except ToolkitError as error:
        why = error.problem
    return {
        "built_in": built_in,
        "started": not why,
        "why": why,
        "placement": placed.nodes,
        "operators": placed.operators,
        "cuda": _cuda_release(),
    }


def _cuda_release() -> str:
    """The release of CUDA that the installed wheel was built with; empty for none."""
    import onnxruntime as ort

    return str(getattr(ort, "cuda_version", "") or "")


def _log_warnings() -> None:
    """The library that a provider lacks is named in the log alone; the caller reads our stderr."""
    import onnxruntime as ort

    ort.set_default_logger_severity(2)


def _place(model: Path, config: dict[str, str], options: "SessionOptions") -> Placement:
    from toolkit.runtime import open_session

    return open_session(model, options, config=config, explain=False).placed


def _start(options: "SessionOptions") -> Placement:
    from toolkit.runtime import open_session

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "relu.onnx"
        model.write_bytes(RELU)
        session = open_session(model, options, explain=False)
        found = session.run({"x": np.array([-1.0], np.float32)})["y"]
    if found.tolist() != [0.0]:
        raise InputError(f"{options.provider.ort_name} computed Relu(-1) = {found.tolist()[0]}")
    return session.placed


if __name__ == "__main__":
    answer(probe)
