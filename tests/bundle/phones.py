"""Bundles for phones, made of the tiny package or of a table of two columns."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from tests.tiny_package import write_tiny_package
from toolkit.bundle import BundleOptions, BundleReport, bundle
from toolkit.bundle.document import AppModel
from toolkit.package import Contents, Source
from toolkit.package.write import Part, replacing, write_package
from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import CategoricalColumn, FeatureTable, NumericColumn
from toolkit.tensors import TensorSpec

ITEMS = ("funny good film", "bad")


def made(folder: Path, target: str, **options: Any) -> BundleReport:
    """The tiny package as a bundle, at `folder/bundle`."""
    package = write_tiny_package(folder / "tiny.ortpackage", items=ITEMS)
    return bundle(
        package.path, target=target, output=folder / "bundle", options=BundleOptions(**options)
    )


def tabular(
    folder: Path,
    target: str,
    *,
    name: str = "rows",
    batch: str | int = "batch",
    is_external: bool = False,
    **options: Any,
) -> BundleReport:
    """A bundle of value = area + 10 * level, for rows of a number and one of two levels.

    Args:
        folder: Where the package is made, and the bundle at `folder/bundle`.
        target: What for.
        name: The package's name.
        batch: The first size of all tensors.
        is_external: Whether the weights lie in a file beside the graph.
        options: As of `BundleOptions`.
    """
    parts = [folder / name for name in ("model", "reference", "preprocessing")]
    for part in parts:
        part.mkdir(parents=True)
    model, reference, preprocessing = parts
    onnx.save(
        _sum_of_columns(batch),
        model / "model.onnx",
        save_as_external_data=is_external,
        location="weights.bin",
        size_threshold=0,
    )
    np.savez(reference / "inputs.npz", numeric=np.array([[2.5]], np.float32), categorical=[[1]])
    np.savez(reference / "outputs.npz", value=np.array([[12.5]], np.float32))
    (reference / "items.json").write_text(json.dumps([{"area": "2.5", "kind": "new"}]))
    table = FeatureTable(
        columns=(NumericColumn(name="area"), CategoricalColumn(name="kind", levels=("old", "new")))
    )
    table.write(preprocessing / "features.json")
    path = folder / f"{name}.ortpackage"
    with replacing(path, force=False) as staging:
        write_package(
            staging,
            name=path.name,
            contents=Contents(
                task=TaskSpec(name="tabular-regression", output="value"),
                source=Source(kind="run", name="rows", sha256="0" * 64, exporter="", versions={}),
            ),
            parts=[
                Part(
                    model=model,
                    inputs=(
                        TensorSpec(name="numeric", dtype="float32", shape=(batch, 1)),
                        TensorSpec(name="categorical", dtype="int64", shape=(batch, 1)),
                    ),
                    outputs=(TensorSpec(name="value", dtype="float32", shape=(batch, 1)),),
                    reference=reference,
                    parity={"max_abs_error": 0.0, "limit": 1e-4, "shapes": [[1]]},
                )
            ],
            assets={"preprocessing": preprocessing},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    return bundle(path, target=target, output=folder / "bundle", options=BundleOptions(**options))


def _sum_of_columns(batch: str | int) -> onnx.ModelProto:
    make_node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            make_node("Cast", ["categorical"], ["level"], to=onnx.TensorProto.FLOAT),
            make_node("Mul", ["level", "ten"], ["tens"]),
            make_node("Add", ["numeric", "tens"], ["value"]),
        ],
        "rows",
        [
            value("numeric", onnx.TensorProto.FLOAT, [batch, 1]),
            value("categorical", onnx.TensorProto.INT64, [batch, 1]),
        ],
        [value("value", onnx.TensorProto.FLOAT, [batch, 1])],
        [onnx.numpy_helper.from_array(np.array(10, np.float32), "ten")],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, ir_version=9, opset_imports=opset)


def document(bundle_folder: Path) -> AppModel:
    """What its `model.json` says."""
    file = bundle_folder / "model" / "model.json"
    return msgspec.json.decode(file.read_bytes(), type=AppModel)
