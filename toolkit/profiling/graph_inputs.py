"""What a graph says of its inputs and ONNX Runtime does not: read from the file, without onnx.

ONNX Runtime gives an input of unknown rank the shape of a scalar, and does not say what reads an
input. A profile works on a device with the core alone, where onnx is not installed; of the file's
format, protobuf's, four messages are needed, and weights are skipped unread.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import InputError
from toolkit.tensors import TensorSpec

FILES = "--input NAME=FILE.npy"

_SIZED_BY: Mapping[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Expand": (1,),
    "ConstantOfShape": (0,),
    "Tile": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "TopK": (1,),
    "OneHot": (1,),
}
"""Inputs of operators that say how large their output is."""

_PASSED_ON = {"Cast", "Identity", "Concat", "Squeeze", "Unsqueeze"}
"""Operators whose output says the same as their inputs."""

# Fields of onnx.proto3: ModelProto.graph, GraphProto.node and .input, NodeProto.input, .output and
# .op_type, ValueInfoProto.name and .type, TypeProto.tensor_type, TypeProto.Tensor.shape.
_GRAPH, _NODE, _INPUT = 7, 1, 11
_NODE_INPUT, _NODE_OUTPUT, _OPERATOR = 1, 2, 4
_NAME, _TYPE, _TENSOR, _SHAPE = 1, 2, 1, 2


@dataclass(frozen=True, kw_only=True)
class GraphInputs:
    """What a graph says of its inputs.

    Attributes:
        unranked: Those of unknown rank.
        sizes: Those that say how large a tensor is, with the operator that reads them.
    """

    unranked: Sequence[str] = ()
    sizes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Path, specs: Sequence[TensorSpec]) -> "GraphInputs":
        """Read a model's; nothing where all inputs have two axes or more.

        Args:
            model: The `.onnx` file, which a session has opened.
            specs: The graph inputs as the session tells them.
        """
        if all(len(spec.shape) > 1 for spec in specs):
            return cls()
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            whole = memoryview(data)
            try:
                return cls._of(whole)
            except (IndexError, ValueError):  # another format: what is unknown stays so
                return cls()
            finally:
                whole.release()

    @classmethod
    def _of(cls, data: memoryview) -> "GraphInputs":
        unranked: list[str] = []
        roots: dict[str, set[str]] = {}
        nodes: list[tuple[str, list[str], list[str]]] = []
        for number, start, end in _fields(data, *_inside(data, 0, len(data), _GRAPH)):
            if number == _INPUT:
                name = _texts(data, start, end, _NAME)[0]
                roots[name] = {name}
                tensor = _inside(data, *_inside(data, start, end, _TYPE), _TENSOR)
                if tensor[1] and not any(f == _SHAPE for f, _, _ in _fields(data, *tensor)):
                    unranked.append(name)
            elif number == _NODE:
                operator = "".join(_texts(data, start, end, _OPERATOR))
                reads = _texts(data, start, end, _NODE_INPUT)
                nodes.append((operator, reads, _texts(data, start, end, _NODE_OUTPUT)))
        sizes: dict[str, str] = {}
        for operator, reads, writes in nodes:
            if operator in _PASSED_ON:
                passed = set().union(*(roots.get(name, ()) for name in reads))
                roots.update(dict.fromkeys(writes, passed))
            for place in _SIZED_BY.get(operator, ()):
                if place < len(reads):
                    sizes.update(dict.fromkeys(roots.get(reads[place], ()), operator))
        return cls(unranked=tuple(unranked), sizes=sizes)

    def check_guessable(self, specs: Sequence[TensorSpec], *, fix: str = "") -> None:
        """Refuse to draw what cannot be drawn at random.

        Args:
            specs: The graph inputs.
            fix: What to do where files cannot be given.

        Raises:
            InputError: An input has no rank, or says how large a tensor is.
        """
        for spec in specs:
            why = ""
            if spec.name in self.unranked:
                why = f"the graph does not say how many axes {spec.name!r} has"
            elif spec.name in self.sizes:
                why = f"{spec.name!r} says how large the output of {self.sizes[spec.name]} is"
            if why:
                raise InputError(
                    f"the model's inputs cannot be guessed: {why}",
                    expected="a tensor for each input, which no --shape can tell",
                    fix=fix or " ".join(f"--input {other.name}=FILE.npy" for other in specs),
                )


def _inside(data: memoryview, start: int, end: int, wanted: int) -> tuple[int, int]:
    """Where the last field of a number begins and ends; (0, 0) for none."""
    found = (0, 0)
    for number, first, last in _fields(data, start, end):
        if number == wanted:
            found = (first, last)
    return found


def _texts(data: memoryview, start: int, end: int, wanted: int) -> list[str]:
    return [
        bytes(data[first:last]).decode()
        for number, first, last in _fields(data, start, end)
        if number == wanted
    ]


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, beginning and end of each field that has a length.

    Source: protobuf.dev, "Encoding".
    """
    place = start
    while place < end:
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(data, place)
        elif kind in {1, 5}:
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(data, place)
            yield key >> 3, place, place + length
            place += length
        else:
            raise ValueError(f"there is no wire type {kind}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
