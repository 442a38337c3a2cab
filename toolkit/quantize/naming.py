"""Nodes by name: what `--keep` and the search for sensitive ones speak of."""

import difflib
from collections.abc import Collection
from pathlib import Path

from toolkit.errors import InputError

LEAST_AXES = 2
"""Of a weight that is multiplied with."""


def with_names(model: Path, target: Path) -> Path:
    """The model, or a copy whose nodes all have names.

    Nodes without one are called by their operator and number. What a file says of the shapes of its
    stored weights is left out: onnxruntime's quantizer (1.31) takes it for activations.

    Args:
        model: The float32 model.
        target: Where the copy is written, where one is needed.
    """
    import onnx

    proto = onnx.load(model, load_external_data=False)
    taken = {node.name for node in proto.graph.node}
    stored = {tensor.name for tensor in proto.graph.initializer}
    repeated = [value for value in proto.graph.value_info if value.name in stored]
    if "" not in taken and not repeated:
        return model
    proto = onnx.load(model)
    for number, node in enumerate(proto.graph.node):
        if node.name:
            continue
        name = f"{node.op_type}_{number}"
        while name in taken:
            name += "_"
        taken.add(name)
        node.name = name
    others = [value for value in proto.graph.value_info if value.name not in stored]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(others)
    onnx.save(proto, target)
    return target


def has_hidden_weights(model: Path) -> bool:
    """Whether nodes inside If, Loop or Scan multiply with weights, of theirs or from outside."""
    import onnx_ir as ir

    return any(
        len(value.const_value.shape) >= LEAST_AXES
        for body in ir.load(model).graph.subgraphs()
        for node in body
        for value in node.inputs
        if value is not None and value.const_value is not None
    )


def check_nodes(model: Path, names: Collection[str]) -> None:
    """Refuse names that no node of a model has.

    Raises:
        InputError: There is no such node; the message names those that are called alike.
    """
    if not names:
        return
    import onnx

    known = [node.name for node in onnx.load(model, load_external_data=False).graph.node]
    for name in names:
        if name in known:
            continue
        alike = difflib.get_close_matches(name, known, n=4, cutoff=0.3)
        raise InputError(
            f"the graph has no node {name!r} to keep",
            expected=f"one of its {len(known)} nodes, such as {', '.join(alike or known[:4])}",
            fix="take names from a report: a variant's details list the nodes that were kept",
        )
