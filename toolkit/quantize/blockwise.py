"""Weights of 4 bits in blocks, each with a scale and a least value: for language models.

A step of a decoder reads every weight once for a single token, so that it takes as long as reading
them does: smaller weights are what makes it faster.

ONNX Runtime's kernel (1.31) is fast with whole zero points only: with others a step of
SmolLM2-135M took 342 ms instead of 28. Whole ones move all weights of a block by up to half a step,
which raised that model's perplexity by a third. So the kernel gets none, and what it leaves out, a
number for each block, is added by a product with the sums of the inputs over the blocks. Weights
that were 4 bits before (GGUF's Q4_1) stay what they are.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.quantize.weights import quantize_table
from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

BLOCK = 32
"""Weights that share a scale: those of one output channel, neighbors along the inputs."""

_MIDDLE = 8
"""What MatMulNBits takes off every value where it is given no zero points."""

_SMALLEST = 4096
"""Elements below which a matrix stays as it is."""


def quantize_blocks(model: Path, target: Path, *, keep: Collection[str] = ()) -> int:
    """Write a copy of a model whose matrices have 4 bits a weight, rounded to the nearest.

    Constant matrices of MatMul, and of Gemm where it is no more than a product and a bias, become
    ONNX Runtime's MatMulNBits; a table that Gather reads becomes int8 rows with a scale a row.
    Activations stay float32, so that neither batch mates nor padding can change the answer.

    Args:
        model: The float32 model.
        target: Where the quantized one is written.
        keep: Names of nodes whose matrices and tables stay in float.

    Returns:
        How many matrices and tables were quantized.
    """
    import onnx_ir as ir

    loaded = ir.load(model)
    graph = loaded.graph
    tables = [found for found in _tables(graph) if not any(g.name in keep for g in found[1])]
    products = [node for node in graph if node.name not in keep]
    count = sum(_quantize_product(graph, node) for node in products)
    for node in [*graph]:
        if node.op_type == "Transpose" and not any(output.uses() for output in node.outputs):
            graph.remove(node, safe=True)
    for value, gathers in tables:
        quantize_table(graph, value, gathers)
        if not value.uses():
            del graph.initializers[str(value.name)]
        count += 1
    for name in [n for n, v in graph.initializers.items() if not v.uses()]:
        del graph.initializers[name]
    loaded.opset_imports["com.microsoft"] = 1
    target.write_bytes(ir.to_proto(loaded).SerializeToString(deterministic=True))
    return count


def _tables(graph: "onnx_ir.Graph") -> list[tuple["onnx_ir.Value", list["onnx_ir.Node"]]]:
    """Float tables, with the nodes that look rows up in them."""
    import onnx_ir as ir

    found = []
    for value in [*graph.initializers.values()]:
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
            continue
        gathers = [
            node
            for node, position in value.uses()
            if node.op_type == "Gather"
            and position == 0
            and ("axis" not in node.attributes or node.attributes["axis"].as_int() == 0)
        ]
        if gathers and tensor.size >= _SMALLEST:
            found.append((value, gathers))
    return found


def _quantize_product(graph: "onnx_ir.Graph", node: "onnx_ir.Node") -> bool:
    """Replace one product by MatMulNBits where its matrix is constant; says whether it did."""
    import onnx_ir as ir

    if node.domain or node.op_type not in {"MatMul", "Gemm"} or len(node.inputs) < 2:
        return False
    matrix, bias = node.inputs[1], None
    if node.op_type == "Gemm":
        if not _is_plain(node):
            return False
        bias = node.inputs[2] if len(node.inputs) > 2 else None
    weights = _weights(matrix)
    if weights is None:
        return False
    if (
        node.op_type == "Gemm"
        and "transB" in node.attributes
        and node.attributes["transB"].as_int()
    ):
        weights = weights.T
    inputs, outputs = weights.shape
    if weights.size < _SMALLEST or inputs < BLOCK:
        return False
    packed, scales, rest = four_bits(np.ascontiguousarray(weights.T))
    assert matrix is not None
    stem = f"{node.outputs[0].name}_q4"
    quantized, scale, rests = (
        _constant(graph, f"{matrix.name}_{stem}_{part}", content)
        for part, content in (("weights", packed), ("scales", scales), ("rest", rest))
    )
    given = node.inputs[0]
    attributes = {"K": inputs, "N": outputs, "bits": 4, "block_size": BLOCK}
    product = ir.node("MatMulNBits", [given, quantized, scale], attributes, domain="com.microsoft")
    sums = ir.node("MatMul", [given, _blocks(graph, inputs)])
    added = ir.node("MatMul", [sums.outputs[0], rests])
    made = [product, sums, added, ir.node("Add", [product.outputs[0], added.outputs[0]])]
    if bias is not None:
        made.append(ir.node("Add", [made[-1].outputs[0], bias]))
    for number, one in enumerate(made):
        one.name = one.outputs[0].name = f"{stem}_{number}"
    output, name = node.outputs[0], node.outputs[0].name
    last = made[-1].outputs[0]
    last.type, last.shape = output.type, output.shape
    for one in made:
        graph.insert_before(node, one)
    ir.convenience.replace_all_uses_with(output, last, replace_graph_outputs=True)
    output.name, last.name = f"{name}_before", name  # a graph output keeps its name
    graph.remove(node, safe=True)
    return True


def _weights(matrix: "onnx_ir.Value | None") -> Array | None:
    """A constant float matrix, as it stands or transposed: a head that shares the table is."""
    import onnx_ir as ir

    if matrix is None:
        return None
    node = matrix.producer()
    turned = node is not None and node.op_type == "Transpose" and _permutation(node) in ([], [1, 0])
    origin = node.inputs[0] if node is not None and turned else matrix
    tensor = None if origin is None else origin.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
        return None
    weights = np.asarray(tensor.numpy(), np.float32)
    return weights.T if turned else weights


def _permutation(node: "onnx_ir.Node") -> list[int]:
    """The order a Transpose puts dimensions in; empty where it turns them round."""
    return [*node.attributes["perm"].as_ints()] if "perm" in node.attributes else []


def _is_plain(node: "onnx_ir.Node") -> bool:
    """Whether a Gemm is a product and a bias of the matrix as it stands or transposed."""
    numbers = {"alpha": 1.0, "beta": 1.0}
    plain = all(
        name not in node.attributes or node.attributes[name].as_float() == one
        for name, one in numbers.items()
    )
    turned = node.attributes["transA"].as_int() if "transA" in node.attributes else 0
    return plain and not turned


def four_bits(weights: Array) -> tuple[Array, Array, Array]:
    """Weights as MatMulNBits takes them without zero points, and what it then leaves out.

    The weights of a block are spread over 16 even steps from its least to its largest.

    Args:
        weights: float32[outputs, inputs].

    Returns:
        uint8[outputs, blocks, BLOCK / 2] of two weights a byte, the first in the low half;
        float32[outputs * blocks] of scales; float32[blocks, outputs], the number that belongs to
        every weight of a block beside (value - 8) * scale.
    """
    outputs, inputs = weights.shape
    blocks = -(-inputs // BLOCK)
    padded = np.pad(weights, ((0, 0), (0, blocks * BLOCK - inputs)), mode="edge")
    blocked = padded.reshape(outputs, blocks, BLOCK)
    least = blocked.min(axis=2)
    scales = np.maximum((blocked.max(axis=2) - least) / 15, np.finfo(np.float32).tiny)
    values = np.rint((blocked - least[:, :, None]) / scales[:, :, None])
    values = np.clip(values, 0, 15).astype(np.uint8)
    packed = values[:, :, 0::2] | (values[:, :, 1::2] << 4)
    rest = least + _MIDDLE * scales
    return packed, scales.astype(np.float32).reshape(-1), np.ascontiguousarray(rest.T, np.float32)


def _blocks(graph: "onnx_ir.Graph", inputs: int) -> "onnx_ir.Value":
    """float32[inputs, blocks] of ones and zeros: a product with it sums inputs over their block."""
    name = f"blocks_of_{inputs}"
    if name in graph.initializers:
        return graph.initializers[name]
    belongs = np.arange(inputs)[:, None] // BLOCK == np.arange(-(-inputs // BLOCK))
    return _constant(graph, name, belongs.astype(np.float32))


def _constant(graph: "onnx_ir.Graph", name: str, content: Array) -> "onnx_ir.Value":
    import onnx_ir as ir

    made = ir.val(name, const_value=ir.tensor(content, name=name))
    graph.register_initializer(made)
    return made
