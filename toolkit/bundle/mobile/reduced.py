"""The graph in ONNX Runtime's own format, and the operators that a reduced build must hold."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolkit.errors import CheckFailedError, InputError

FOLDER = "reduced"
GRAPH = "model.ort"
CONFIG = "required_operators_and_types.config"

LEVEL = "basic"
"""How far the graph is optimized. Higher levels write operators for this machine's processor, and
fuse what NNAPI and CoreML would have taken."""

_LEVEL_VARIABLE = "ORT_CONVERT_ONNX_MODELS_TO_ORT_OPTIMIZATION_LEVEL"
_CONVERTED_S = 1800.0  # of a gigabyte; graphs of phones take seconds
_SHOWN = 2000


def write_reduced(graph: Path, folder: Path) -> None:
    """Put `reduced/` into a bundle: the `.ort` file and its list of operators and types.

    The converter opens sessions, prints, and takes its level from the environment: it runs in a
    process and a folder of its own.

    Args:
        graph: The `.onnx` file, with fixed shapes.
        folder: The bundle's folder.

    Raises:
        InputError: ONNX Runtime cannot convert the graph.
        CheckFailedError: It does not end.
    """
    place = folder / FOLDER
    place.mkdir()
    with tempfile.TemporaryDirectory() as made:
        command = [
            *(sys.executable, "-m", "onnxruntime.tools.convert_onnx_models_to_ort"),
            *(str(graph.resolve()), "--output_dir", made, "--optimization_style", "Fixed"),
            *("--enable_type_reduction", "--target_platform", "arm"),
        ]
        environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", _LEVEL_VARIABLE: LEVEL}
        try:
            done = subprocess.run(
                command,
                cwd=made,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_CONVERTED_S,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckFailedError(
                f"ONNX Runtime's converter did not end within {_CONVERTED_S:.0f} s",
                expected="the graph in ONNX Runtime's own format by then",
                fix="another variant of the package: --variant NAME",
            ) from error
        written = [*Path(made).glob("*.ort")]
        configs = [*Path(made).glob("*.config")]
        if done.returncode or len(written) != 1 or len(configs) != 1:
            told = (done.stdout + done.stderr).strip()[-_SHOWN:]
            raise InputError(
                f"the graph cannot be converted to ONNX Runtime's own format\n{told}",
                expected="a graph that a build for phones can hold",
                fix="another variant of the package: --variant NAME",
            )
        shutil.move(written[0], place / GRAPH)
        (place / CONFIG).write_text(_without_paths(configs[0].read_text(encoding="utf-8")))


def _without_paths(config: str) -> str:
    """The list without its comments, which name the temporary folder."""
    lines = [line for line in config.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines) + "\n"
