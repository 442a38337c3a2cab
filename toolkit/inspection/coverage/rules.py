"""The vocabulary that the tables of the providers are written in.

A rule is data: what must hold, where ONNX Runtime's own code says so, and what to change where it
does not hold. A check gives the reason why a node is refused, or an empty text.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.inspection.coverage.graph import Node, Tensor
from toolkit.runtime.providers import Provider

Check = Callable[[Node], str]
Grouping = Literal["waves", "clusters"]

COMPILED = "com.microsoft:EPContext"
"""What stands for a graph that a provider has compiled."""
SIZES = "NAME=SIZE,..."
FIX_SHAPES = f"fix the sizes: --fix-shapes {SIZES}"
FLOAT32 = "export in float32"
INSIDE = "save the weights inside of the .onnx file"
DECLARED = "declare the shapes of the inputs when the model is exported"
INFERENCE = "export for inference"
CONSTANT = "make it an initializer, not something that the graph computes or a caller feeds"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A condition that a provider sets.

    Attributes:
        check: The reason why a node is refused; empty where the condition holds.
        source: The file that sets it: of the repository microsoft/onnxruntime, below
            `onnxruntime/core/providers/`, where no other repository is named; or how it was
            measured.
        change: What to change in the model where it does not hold.
    """

    check: Check
    source: str
    change: str = ""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a provider takes.

    Attributes:
        provider: The word that `--provider` takes.
        model_format: Its own format, where it has several; empty otherwise.
        operators: Rules of each operator that it takes at all.
        general: Rules of every node.
        source: Where the list of operators stands.
        grouping: How supported nodes become partitions, see `partitions`.
        smallest: Nodes that a partition needs, where the graph is not taken as a whole.
        alone: Operators that are not taken as a graph of their own.
        takes_units: Whether an operator between DequantizeLinear and QuantizeLinear is taken or
            left with both (core/framework/node_unit.h).
        changes: What to use instead of operators that it does not take.
    """

    provider: str
    operators: Mapping[str, tuple[Rule, ...]]
    general: tuple[Rule, ...]
    source: str
    model_format: str = ""
    grouping: Grouping = "waves"
    smallest: int = 1
    alone: Collection[str] = ()
    takes_units: bool = False
    changes: Mapping[str, str]

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.provider} {self.model_format}".strip()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a provider does not take a node.

    Attributes:
        reason: In words.
        source: Where that is written, see `Rule`.
        change: What to change in the model; empty where nothing helps.
    """

    reason: str
    source: str
    change: str


def refusal(coverage: Coverage, node: Node) -> Refusal | None:
    """Why the provider refuses a node; None where it takes it."""
    if node.op == COMPILED:
        return _foreign(coverage, node)
    rules = coverage.operators.get(node.op)
    if rules is None:
        return Refusal(
            reason="the provider has no such operator",
            source=coverage.source,
            change=coverage.changes.get(node.op, ""),
        )
    for rule in (*coverage.general, *rules):
        reason = rule.check(node)
        if reason:
            return Refusal(reason=reason, source=rule.source, change=rule.change)
    return None


def _foreign(coverage: Coverage, node: Node) -> Refusal | None:
    """A compiled graph is taken by the provider that compiled it, and by no other."""
    made_by = str(node.attributes.get("source", ""))
    if made_by == Provider(coverage.provider).ort_name:
        return None
    return Refusal(
        reason=f"was compiled for {made_by or 'a provider that it does not name'}",
        source="measured: onnxruntime 1.31, which loads it with no other provider",
        change="take the variant that it was compiled from",
    )


def static_inputs(node: Node) -> str:
    """Every input has fixed sizes."""
    return _open(node.present(), "reads")


def static(node: Node) -> str:
    """Every input and output has fixed sizes."""
    return static_inputs(node) or _open(node.written(), "writes")


def _open(tensors: Collection[Tensor], verb: str) -> str:
    # A shape that could not be inferred says nothing: ONNX Runtime may well know it. How many
    # nodes have one is `Prediction.unknown`.
    return next(
        (
            f"{verb} {t.name!r}, whose sizes are not fixed"
            for t in tensors
            if t.shape and None in t.shape
        ),
        "",
    )


def ranked_inputs(node: Node) -> str:
    """Every input has a shape, as far as graph inputs without one leave it."""
    return _unranked(node.present(), "reads")


def ranked(node: Node) -> str:
    """The same of inputs and outputs."""
    return ranked_inputs(node) or _unranked(node.written(), "writes")


def _unranked(tensors: Collection[Tensor], verb: str) -> str:
    found = (f"{verb} {t.name!r}, whose shape is not known" for t in tensors if t.is_unranked)
    return next(found, "")


def filled_inputs(node: Node) -> str:
    """No input has a dimension of size 0; constants aside, which stand for options left out."""
    return _empty([t for t in node.present() if not t.is_constant], "reads")


def filled(node: Node) -> str:
    """The same of inputs and outputs."""
    return filled_inputs(node) or _empty(node.written(), "writes")


def _empty(tensors: Collection[Tensor], verb: str) -> str:
    return next((f"{verb} {t.name!r}, which is empty" for t in tensors if 0 in (t.shape or ())), "")


def inside(node: Node) -> str:
    """No input is a weight in another file than the model."""
    found = (f"reads {t.name!r}, which another file holds" for t in node.present() if t.is_external)
    return next(found, "")


def for_inference(node: Node) -> str:
    """A normalization that updates no statistics."""
    trains = node.attributes.get("training_mode", 0) or one_output(node)
    return "is in training mode" if trains else ""


def dtypes(*allowed: str, at: Collection[int] = (0,)) -> Check:
    """These inputs have one of the types."""

    def check(node: Node) -> str:
        for position in at:
            tensor = node.input(position)
            if tensor is not None and tensor.dtype and tensor.dtype not in allowed:
                return f"input {position} is {tensor.dtype}"
        return ""

    return check


def output_dtypes(*allowed: str) -> Check:
    """The outputs have one of the types."""

    def check(node: Node) -> str:
        found = (t.dtype for t in node.written() if t.dtype)
        return next((f"writes {dtype}" for dtype in found if dtype not in allowed), "")

    return check


def any_dtype(*allowed: str) -> Check:
    """Every input and output has one of the types."""

    def check(node: Node) -> str:
        found = (t.dtype for t in (*node.present(), *node.written()) if t.dtype)
        return next((f"has a tensor of {dtype}" for dtype in found if dtype not in allowed), "")

    return check


def constant(*positions: int) -> Check:
    """These inputs are constants, where they are given."""

    def check(node: Node) -> str:
        for position in positions:
            tensor = node.input(position)
            if tensor is not None and not tensor.is_constant:
                return f"input {position} is not a constant"
        return ""

    return check


def ranks(low: int, high: int, at: Collection[int] = (0,)) -> Check:
    """These inputs have that many dimensions."""
    wanted = str(low) if low == high else f"{low} to {high}"

    def check(node: Node) -> str:
        for position in at:
            tensor = node.input(position)
            rank = None if tensor is None else tensor.rank
            if rank is not None and not low <= rank <= high:
                return f"input {position} has {rank} dimensions, not {wanted}"
        return ""

    return check


def attribute(name: str, *allowed: Any, default: Any = None) -> Check:
    """An attribute has one of the values; one that is not given has the default."""

    def check(node: Node) -> str:
        value = node.attributes.get(name, default)
        value = tuple(value) if isinstance(value, list) else value
        return "" if value in allowed else f"its {name} is {value}"

    return check


def since(low: int) -> Check:
    """The operator is of that opset or later."""

    def check(node: Node) -> str:
        return f"it is {node.op}-{node.since}, before {low}" if 0 < node.since < low else ""

    return check


def every(*checks: Check) -> Check:
    """All of these hold."""

    def check(node: Node) -> str:
        return next(filter(None, (one(node) for one in checks)), "")

    return check


def one_output(node: Node) -> str:
    """Nothing but the first output is asked for."""
    extra = [tensor for tensor in node.outputs[1:] if tensor is not None]
    return "writes more than one output" if extra else ""


def never(reason: str) -> Check:
    """Never taken."""
    return lambda _: reason


def words(text: str) -> tuple[str, ...]:
    """Operators as a table lists them, with spaces between them."""
    return tuple(text.split())
