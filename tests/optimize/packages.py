"""A package of one layer of attention, which the toolkit's passes rewrite."""

import tempfile
from pathlib import Path

import numpy as np

from tests.optimize.graphs import Layer, feeds
from toolkit.npz import write_npz
from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.replacing import replacing
from toolkit.package.write import Part, add_variant, staging_directory, write_package
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec


def write_layer_package(path: Path, *, scale: float = 1.0) -> ModelPackage:
    """The package with the variant fp32; the scale is its output projection's."""
    with tempfile.TemporaryDirectory() as folder, replacing(path, force=False) as staging:
        model, reference = Path(folder, "model"), Path(folder, "reference")
        model.mkdir()
        reference.mkdir()
        layer = Layer()
        layer.constants["wo"] = layer.constants["wo"] * np.float32(scale)
        if scale != 1.0:  # the normalization would undo it
            layer.add("Gather", ["sum", "token"], "y", axis=1)
            del layer.nodes["normal"]
        file = layer.write(model / "model.onnx", sizes=("batch", "sequence"))
        session = open_session(file, SessionOptions(threads=1))
        (reference / "inputs.npz").write_bytes(write_npz(feeds()))
        (reference / "outputs.npz").write_bytes(write_npz(session.run(feeds())))
        write_package(
            staging,
            name=path.name,
            contents=Contents(
                task=TaskSpec(name="tensors"),
                source=Source(kind="onnx", name="layer", sha256="0" * 64, exporter="", versions={}),
            ),
            parts=[
                Part(
                    model=model,
                    inputs=session.inputs,
                    outputs=session.outputs,
                    reference=reference,
                    parity={"max_abs_error": 0.0, "limit": 1e-4},
                )
            ],
            assets={},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return ModelPackage.open(path)


def add_copy(package: ModelPackage, name: str, precision: str) -> ModelPackage:
    """The package with a copy of fp32 in front that calls itself something else."""
    with staging_directory(package) as staging:
        folder = staging / "model"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(package.variant("fp32").model.read_bytes())
        return add_variant(
            package,
            folder,
            name=name,
            precision=precision,
            method="copy",
            parent="fp32",
            parity={"max_abs_error": 0.0, "limit": 1e-4},
            details={},
            step="quantize",
            preferred=True,
        )
