"""What the passes share: reading constants and shapes, and replacing values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

Attributes = Mapping[str, int | float | list[int]]

STANDARD = {"", "ai.onnx"}


def is_standard(node: "onnx_ir.Node | None", *operators: str) -> bool:
    """Whether a node is one of these operators of the ONNX standard."""
    return node is not None and node.domain in STANDARD and node.op_type in operators


def constant(value: "onnx_ir.Value | None") -> Array | None:
    """A value's content, when it is an initializer that no caller can replace."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def number(value: "onnx_ir.Value | None") -> float | None:
    """The one number that a constant holds."""
    content = constant(value)
    return float(content.reshape(-1)[0]) if content is not None and content.size == 1 else None


def only_user(value: "onnx_ir.Value", *operators: str) -> "onnx_ir.Node | None":
    """The one node that reads a value, when it is one of these operators and reads it once."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = next(iter(uses)).node
    return node if is_standard(node, *operators) and node.graph is value.graph else None


def integer(node: "onnx_ir.Node", name: str, default: int) -> int:
    """An integer attribute."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def permutation(node: "onnx_ir.Node") -> tuple[int, ...]:
    """The axes of a Transpose, or none where it says nothing and reverses them."""
    attribute = node.attributes.get("perm")
    return () if attribute is None else tuple(attribute.as_ints())


def dimensions(value: "onnx_ir.Value | None") -> tuple[int | str | None, ...] | None:
    """What is known of a shape: sizes, names, and None for an axis that has neither."""
    if value is None or value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)


@dataclass
class Editor:
    """Adds nodes and constants to a graph, under names that start alike."""

    graph: "onnx_ir.Graph"
    prefix: str
    constants: dict[tuple[str, tuple[int, ...], bytes], "onnx_ir.Value"] = field(
        default_factory=dict
    )
    made: int = 0

    def __post_init__(self) -> None:
        """Begin behind what an earlier pass of this name left."""
        taken = [str(value.name) for value in self.graph.initializers.values()]
        taken += [str(node.name) for node in self.graph]
        parts = [name.split("/") for name in taken if name.startswith(f"{self.prefix}/")]
        self.made = max((int(part[1]) for part in parts if part[1].isdecimal()), default=0)

    def node(
        self,
        before: "onnx_ir.Node",
        operator: str,
        inputs: "Sequence[onnx_ir.Value | None]",
        attributes: Attributes | None = None,
        *,
        domain: str = "",
    ) -> "onnx_ir.Value":
        """Insert a node of one output before another and return that output."""
        import onnx_ir as ir

        self.made += 1
        node = ir.node(operator, inputs, attributes, domain=domain)
        node.name = f"{self.prefix}/{self.made}/{operator}"
        node.outputs[0].name = f"{self.prefix}/{self.made}"
        self.graph.insert_before(before, node)
        return node.outputs[0]

    def constant(self, content: "Array | np.generic") -> "onnx_ir.Value":
        """A constant, one for all that ask for the same content."""
        array = np.asarray(content)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = self.initializer("constant", array)
        return self.constants[key]

    def initializer(self, name: str, content: Array) -> "onnx_ir.Value":
        """A stored tensor of its own."""
        import onnx_ir as ir

        self.made += 1
        name = f"{self.prefix}/{self.made}/{name}"
        value = ir.val(name, const_value=ir.tensor(content, name=name))
        self.graph.register_initializer(value)
        return value


def tidy(model: "onnx_ir.Model") -> None:
    """Remove nodes and initializers that nothing reads; the readers of a value are then real."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    RemoveUnusedNodesPass()(model)


def replace(graph: "onnx_ir.Graph", node: "onnx_ir.Node", result: "onnx_ir.Value") -> None:
    """Let a value stand for a node's output, under its name, and remove the node."""
    import onnx_ir as ir

    output = node.outputs[0]
    name, result.type, result.shape = output.name, output.type, output.shape
    ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    output.name, result.name = f"{name}_before", name
