"""Cleaning, writing and checking an ONNX graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.export.feeds import Dimensions
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.weights import Traced, drop_inputs, put_back, set_aside, turn_weights, write
from toolkit.optimize import optimize_standard, with_shapes

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, TensorProto
    from onnx_ir import TensorProtocol

__all__ = [
    "check",
    "check_made",
    "cleaned",
    "drop_operator_sets",
    "name_dimensions",
    "operators",
    "rename",
    "slimmed",
    "strip",
    "tensors",
    "write",
]

_SYMBOL = re.compile(r"[A-Za-z_]\w*")
_RECURRENT = {"LSTM", "GRU", "RNN"}
"""Their weights are reordered by nodes that only folding takes away."""


def cleaned(traced: Traced) -> Traced:
    """The graph slimmed and lightened; its weights stay where they lie.

    Args:
        traced: As an exporter wrote it; changed.

    Raises:
        InputError: The graph cannot be simplified.
    """
    if operators(traced.model) & _RECURRENT:
        traced = Traced(model=put_back(traced))
    return _lightened(slimmed(traced.model), traced.weights)


def slimmed(model: ModelProto) -> ModelProto:
    """The graph with constants folded and dead or repeated nodes gone.

    torch.onnx leaves the reordering of recurrent weights in the graph where they are large; folded,
    the weights become initializers, which is what the quantizer looks for.
    """
    with export_extra():
        import onnxslim
    with quiet():
        try:
            slim: ModelProto = onnxslim.slim(model)
        except Exception as error:  # whatever a graph that is none makes of it
            raise InputError(
                f"the exported graph cannot be simplified: {type(error).__name__}: {error}",
                expected="a graph whose values have one producer each",
            ) from error
    # It drops inputs that no node reads; the signature is the module's, and stays.
    del slim.graph.input[:]
    slim.graph.input.extend(model.graph.input)
    return slim


def _lightened(model: ModelProto, weights: dict[str, TensorProtocol]) -> Traced:
    """The graph without guards that catch nothing and rows that nobody reads; standard operators.

    Args:
        model: The graph, with an input for each weight that was set aside.
        weights: Those, which the graph has no inputs for any more.
    """
    with export_extra():
        rewritten = with_shapes(model)
    for value in [value for value in rewritten.graph.inputs if value.name in weights]:
        rewritten.graph.inputs.remove(value)
        if value.uses():
            value.const_value = weights[value.name or ""]
            rewritten.graph.register_initializer(value)
    # Constants first: rows are selected before a product only where its matrix is one.
    if turn_weights(rewritten) + optimize_standard(rewritten):
        made = set_aside(rewritten)
        drop_inputs(made.model, made.weights)
        return made
    drop_inputs(model, weights)
    used = {name for graph in _graphs(model) for node in graph.node for name in node.input}
    return Traced(model=model, weights={n: t for n, t in weights.items() if n in used})


def strip(model: ModelProto) -> None:
    """Remove what differs from machine to machine, in place: paths, source lines, descriptions.

    The shapes of inner values go too. ONNX Runtime infers them itself, and with them in the file a
    fine-tuned MiniLM takes 4 to 14 % more CPU time (1.31: it plans its buffers worse); and
    initializers repeated there break quantize_dynamic on Gemm.
    """
    model.doc_string = ""
    del model.metadata_props[:]
    for holder in _holders(model):
        holder.doc_string = ""
        del holder.metadata_props[:]
        for node in holder.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for graph in _graphs(model):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            value.doc_string = ""
            del value.metadata_props[:]
    for tensor in tensors(model):
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def check(file: Path, *, full: bool) -> None:
    """Check a model file against the ONNX standard.

    Args:
        file: The model.
        full: Infer every shape too, and compare with those that are written down.

    Raises:
        InputError: It is not valid.
    """
    _check(str(file), str(file), full=full)


def check_made(made: Traced) -> None:
    """Check a graph in full before its weights are written behind it.

    Its weights stand as inputs meanwhile, so that nothing large is parsed; whether what is written
    of them is valid, opening a session says.

    Raises:
        InputError: It is not valid.
    """
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(made.model)
    light.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.dtype.value, tensor.shape.numpy())
        for name, tensor in made.weights.items()
    )
    _check(light, "the exported graph", full=True)


def _check(model: str | ModelProto, name: str, *, full: bool) -> None:
    with export_extra():
        import onnx
    try:
        onnx.checker.check_model(model, full_check=full)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{name} is no valid ONNX model: {reason}") from error


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: initializers and attributes, in subgraphs and functions too."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for holder in _holders(model):
        for attribute in (attribute for node in holder.node for attribute in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def rename(traced: Traced, names: Mapping[str, str]) -> None:
    """Rename values wherever they stand, in place.

    A value that has one of the new names already gets another.

    Args:
        traced: The graph and its weights.
        names: New name by old name.
    """
    model = traced.model
    present = _value_names(model)
    taken = {name for name in names.values() if name in present and name not in names}
    names = {name: _free_name(name, present) for name in taken} | dict(names)
    for graph in _graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
    traced.weights = {names.get(name, name): w for name, w in traced.weights.items()}


def _value_names(model: ModelProto) -> set[str]:
    names: set[str] = set()
    for graph in _graphs(model):
        names.update(value.name for value in (*graph.input, *graph.output, *graph.initializer))
        for node in graph.node:
            names.update((*node.input, *node.output))
    return names


def _free_name(name: str, taken: set[str]) -> str:
    return next(free for i in count(1) if (free := f"{name}.{i}") not in taken)


def name_dimensions(model: ModelProto, dimensions: Dimensions) -> None:
    """Give every symbol that the exporter made up the name that an input declares for it.

    Args:
        model: The graph, changed in place.
        dimensions: {input: {axis: name}}.
    """
    known: dict[str, str] = {}
    for value in model.graph.input:
        axes = dimensions.get(value.name, {})
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param and axis in axes:
                known.setdefault(dim.dim_param, axes[axis])
    for graph in _graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param:
                    dim.dim_param = _SYMBOL.sub(lambda m: known.get(m[0], m[0]), dim.dim_param)


def operators(model: ModelProto) -> set[str]:
    """The operator types in use."""
    return {node.op_type for holder in _holders(model) for node in holder.node}


def drop_operator_sets(model: ModelProto) -> None:
    """Forget the operator sets that no node is of, in place.

    ONNX Runtime names all that it knows, at its own newest versions, in each graph that it
    optimizes: an older release, such as the one of a phone, refuses those versions.
    """
    used = {node.domain for holder in _holders(model) for node in holder.node}
    used |= {"", "ai.onnx"}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _holders(model: ModelProto) -> Iterator[GraphProto | FunctionProto]:
    """Whatever holds nodes."""
    yield from _graphs(model)
    yield from model.functions


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    waiting = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while waiting or nodes:
        if waiting:
            graph = waiting.pop()
            yield graph
            nodes.extend(graph.node)
        for node in nodes:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)
        nodes = []
