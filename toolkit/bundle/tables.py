"""Rows taken out of the tables that a graph looks its tokens up in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import InputError
from toolkit.optimize.editing import integer, is_standard
from toolkit.tensors import Array

if TYPE_CHECKING:
    import onnx_ir

_SAME_NUMBERS = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
"""Operators that hand token ids on as they are."""

_OTHER_MATTERS = ("Shape", "Size")
"""Operators that look at how many ids there are, and not at their values."""


def cut_tables(file: Path, ids: str, kept: Sequence[int]) -> None:
    """Leave only some rows in every table that is looked up by token id, and replace the file.

    Tables are float, or int8 with a scale a row that is looked up beside it, or dequantized before
    the look-up with one scale or one a row.

    Args:
        file: The `.onnx` file.
        ids: The graph input with the token ids.
        kept: The rows that stay, ascending; row `kept[i]` becomes row `i`.

    Raises:
        InputError: The ids have another use than a look-up, or a table has another reader.
    """
    import onnx_ir as ir

    model = ir.load(file)
    if model.graph.initializers and any(
        isinstance(value.const_value, ir.ExternalTensor)
        for value in model.graph.initializers.values()
    ):
        raise _refused("its weights lie in a file of their own")
    source = next(value for value in model.graph.inputs if value.name == ids)
    gathers = [*_look_ups(source)]
    if not gathers:
        raise _refused(f"nothing is looked up by {ids!r}")
    rows = np.array(kept, np.int64)
    for value in dict.fromkeys(part for node in gathers for part in _parts(node, gathers)):
        _cut(value, rows)
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # shapes of what a table was dequantized to are others now
    temporary = file.with_name(f"{file.name}.trimmed")
    temporary.write_bytes(proto.SerializeToString(deterministic=True))
    temporary.replace(file)


def _refused(reason: str) -> InputError:
    return InputError(
        f"the vocabulary of this graph cannot be trimmed: {reason}",
        expected="token ids that only choose rows of tables, and tables that nothing else reads",
        fix="leave --trim out",
    )


def _look_ups(ids: "onnx_ir.Value") -> Iterator["onnx_ir.Node"]:
    """Every Gather that takes its rows by token id."""
    if ids.is_graph_output():
        raise _refused(f"{ids.name!r} is a graph output")
    for node, position in ids.uses():
        if is_standard(node, *_OTHER_MATTERS):
            continue
        if is_standard(node, *_SAME_NUMBERS) and position == 0:
            yield from _look_ups(node.outputs[0])
        elif is_standard(node, "Gather") and position == 1 and integer(node, "axis", 0) == 0:
            yield node
        else:
            raise _refused(f"{node.op_type} {node.name!r} reads token ids too")


def _parts(gather: "onnx_ir.Node", gathers: Sequence["onnx_ir.Node"]) -> Iterator["onnx_ir.Value"]:
    """The constants with a row a token that a look-up reads: a table, and its scales."""
    table = gather.inputs[0]
    assert table is not None
    others = [node for node, position in table.uses() if node not in gathers or position != 0]
    if others or table.is_graph_output():
        reader = f"{others[0].op_type} {others[0].name!r}" if others else "the caller"
        raise _refused(f"the table {table.name!r} is read by {reader} too (tied weights)")
    made_by = table.producer()
    if made_by is None:
        yield _constant(table)
        return
    if not is_standard(made_by, "DequantizeLinear"):
        raise _refused(f"the table {table.name!r} is computed by {made_by.op_type}")
    if integer(made_by, "block_size", 0):
        raise _refused(f"the table {table.name!r} is quantized in blocks")
    stored = made_by.inputs[0]
    assert stored is not None
    count = _content(stored).shape[0]
    for value in made_by.inputs:
        if value is None:
            continue
        # With one scale, or one a column, these have nothing that belongs to a token.
        is_row_wise = value is stored or (
            integer(made_by, "axis", 1) == 0 and _content(value).shape == (count,)
        )
        if is_row_wise:
            if len(value.uses()) > 1:
                raise _refused(f"{value.name!r} is read by several nodes")
            yield _constant(value)


def _constant(value: "onnx_ir.Value") -> "onnx_ir.Value":
    _content(value)
    return value


def _content(value: "onnx_ir.Value") -> Array:
    if value.const_value is None or value.is_graph_input() or not value.is_initializer():
        raise _refused(f"{value.name!r} is no stored table")
    return np.asarray(value.const_value.numpy())


def _cut(value: "onnx_ir.Value", rows: Array) -> None:
    import onnx_ir as ir

    content = _content(value)
    if content.ndim == 0 or content.shape[0] <= rows[-1]:
        raise _refused(f"the table {value.name!r} has no row of token {rows[-1]}")
    smaller = np.ascontiguousarray(content[rows])
    value.const_value = ir.tensor(smaller, name=value.name)
    value.shape = ir.Shape(smaller.shape)
