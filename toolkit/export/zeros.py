"""Zeros among the weights of a graph, which pruning made and exporting must not lose."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import CheckFailedError

PRUNING = "pruning"
"""Beside the metrics of a package: what its training said of the zeros."""


@dataclass(frozen=True, kw_only=True)
class GraphZeros:
    """Zeros in an `.onnx` file.

    Attributes:
        weights: Float and int8 numbers in initializers and constants of two dimensions or more.
        zeros: Those of them that are exactly zero.
        size_bytes: Size of the file.
        gzip_bytes: Its size compressed by gzip.
    """

    weights: int
    zeros: int
    size_bytes: int
    gzip_bytes: int

    @property
    def share(self) -> float:
        """Zeros among the weights."""
        return self.zeros / max(self.weights, 1)


def zeros_of_pruned(models: list[Path], metrics: Mapping[str, Any]) -> GraphZeros | None:
    """Zeros in the graphs of a model that was pruned; none for other models.

    Args:
        models: The `.onnx` files of its components.
        metrics: What the source's training measured, with `PRUNING` if it was pruned.

    Raises:
        CheckFailedError: The graphs hold fewer zeros than the training left.
    """
    if PRUNING not in metrics:
        return None
    counted = [graph_zeros(model) for model in models]
    found = GraphZeros(
        weights=sum(one.weights for one in counted),
        zeros=sum(one.zeros for one in counted),
        size_bytes=sum(one.size_bytes for one in counted),
        gzip_bytes=sum(one.gzip_bytes for one in counted),
    )
    trained = metrics[PRUNING]["zeros"]
    if found.zeros < trained:
        raise CheckFailedError(
            f"the exported graph has {found.zeros:,} weights that are zero",
            expected=f"at least the {trained:,} that training left",
            fix="export a run that was trained without --prune; of a model that generates text, "
            "try --exporter torch first",
        )
    return found


def graph_zeros(model: Path) -> GraphZeros:
    """Count the zeros in an `.onnx` file, also in its subgraphs.

    Args:
        model: The file, with its external data beside it.
    """
    import numpy as np
    import onnx_ir as ir

    weights = zeros = 0
    loaded = ir.load(model)
    for graph in (loaded.graph, *loaded.graph.subgraphs()):
        tensors = [value.const_value for value in graph.initializers.values()]
        tensors += [
            node.attributes["value"].as_tensor()
            for node in graph
            if node.op_type == "Constant" and "value" in node.attributes
        ]
        for tensor in tensors:
            if tensor is None or len(tensor.shape) < 2:
                continue
            if tensor.dtype.is_floating_point() or tensor.dtype == ir.DataType.INT8:
                values = tensor.numpy()
                weights += values.size
                zeros += values.size - int(np.count_nonzero(values))
    files = [model, *model.parent.glob(f"{model.name}.data")]
    raw = b"".join(file.read_bytes() for file in files)
    return GraphZeros(
        weights=weights,
        zeros=zeros,
        size_bytes=len(raw),
        gzip_bytes=len(gzip.compress(raw, 6, mtime=0)),
    )
