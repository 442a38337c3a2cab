"""The int8 variant of a run with quantization-aware training, compared with the trained model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.evaluate.validation import BATCH_LIMIT, reference_errors, with_slack
from toolkit.export import graph, torch_graph
from toolkit.export.comparison import ExportParity, compared
from toolkit.export.feeds import batch_dimension, dimension_sizes, resized, trace_sizes
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.qdq import tidied
from toolkit.export.torch_graph import IR_VERSION, one_thread, run_module
from toolkit.export.traced import OPTIONS
from toolkit.export.weights import put_back, write
from toolkit.export.zeros import zeros_of_pruned
from toolkit.machine import installed_versions, instruction_set, this_machine
from toolkit.package import ModelPackage
from toolkit.package.write import MODEL_FILE, add_variant, staging_directory
from toolkit.progress import Progress
from toolkit.runtime import open_session

if TYPE_CHECKING:
    from onnx import ModelProto

    from toolkit.training.fake_quantization import FakeQuantized

VARIANT = "int8-qat"
METHOD = "qat"
LIMIT = 1e-3
"""Most that the graph may differ from the trained model, as the issue of this feature has it."""
MAX_DROP = 0.005
"""What `validate --data` allows it to lose against the float variant: `quantize`'s default."""


@dataclass(frozen=True, kw_only=True)
class Roundings:
    """Where the graph and PyTorch took a value to another step, and what came of it.

    Attributes:
        compared: Values that were rounded in all comparisons.
        differing: Of those, the ones rounded to the next step by one of the two.
        furthest: The most that one of them was away from half way, in steps.
        max_abs_error: The largest difference of an output that they lead to, of a session as it is
            usually opened.
    """

    compared: int
    differing: int
    furthest: float
    max_abs_error: float


@dataclass(frozen=True, kw_only=True)
class QuantizedExport:
    """The int8 variant that was written beside the float one.

    Attributes:
        variant: Its name.
        parity: How it was compared with the trained model.
        roundings: None where outputs were compared as they are; else parity is with every rounding
            decided as the graph decided it.
        operators: Of the graph that ONNX Runtime runs on this machine, by type.
        size_bytes: Size of its files.
    """

    variant: str
    parity: ExportParity
    roundings: Roundings | None
    operators: Mapping[str, int]
    size_bytes: int


def add_trained(
    path: Path, source: TorchSource, *, opset: int, seed: int, progress: Progress
) -> QuantizedExport:
    """Add the int8 variant to a package in the making.

    Args:
        path: The package, with the float variant of the same run.
        source: The run; `source.quantized` gives its model.
        opset: Operator-set version of the graph.
        seed: Of the feeds that are made.
        progress: Called with a line for each thing that begins.

    Raises:
        CheckFailedError: The graph does not compute what the model does, or holds fewer zeros than
            pruning left.
        InputError: The model cannot be exported.
        SetupError: torchao is not installed.
    """
    assert source.quantized is not None
    package = ModelPackage.open(path)
    parent = package.variants[0].name
    with one_thread(), staging_directory(package) as staging:
        model = source.quantized()
        part = replace(source.parts[0], module=model)
        folder = staging / "variant"
        folder.mkdir()
        progress(f"exporting {VARIANT}")
        file = folder / MODEL_FILE
        proto = _traced(source, part, model, opset=opset, seed=seed)
        write(proto, file)
        graph.check(file, full=True)
        zeros = zeros_of_pruned([file], source.metrics)
        parity, roundings = _compared(source, part, model, proto, file, seed=seed, say=progress)
        operators = _kernels(file, staging)
        session = open_session(file, OPTIONS)
        error, alone = reference_errors(package, session)
        size = file.stat().st_size
        machine = this_machine()
        add_variant(
            package,
            folder,
            name=VARIANT,
            precision="int8",
            method=METHOD,
            parent=parent,
            parity={
                "max_abs_error": error,
                "limit": with_slack(error),
                BATCH_LIMIT: with_slack(alone),
            },
            details={
                "trained": {**asdict(parity), "roundings": roundings and asdict(roundings)},
                "metrics": dict(source.quantized_metrics),
                "operators": operators,
                **({} if zeros is None else {"zeros": asdict(zeros)}),
                "max_drop": MAX_DROP,
                "max_batch_flips": 0,
                "machine": machine.cpu,
                "instruction_set": instruction_set(machine.cpu_features),
                "versions": installed_versions(),
            },
            step="export",
            preferred=False,
        )
    return QuantizedExport(
        variant=VARIANT, parity=parity, roundings=roundings, operators=operators, size_bytes=size
    )


def _traced(
    source: TorchSource, part: TorchPart, model: FakeQuantized, *, opset: int, seed: int
) -> ModelProto:
    sizes = trace_sizes(dimension_sizes(part.feeds, part.dimensions))
    batch = batch_dimension(part.dimensions)
    feeds = resized(part.feeds, part.dimensions, sizes, batch=batch, seed=seed)
    converted = replace(part, module=model.converted())
    traced = torch_graph.trace(source, converted, feeds, part.output_names, opset=opset)
    proto = tidied(put_back(graph.cleaned(traced)))
    graph.strip(proto)
    proto.ir_version = IR_VERSION
    return proto


def _compared(
    source: TorchSource,
    part: TorchPart,
    model: FakeQuantized,
    proto: ModelProto,
    file: Path,
    *,
    seed: int,
    say: Progress,
) -> tuple[ExportParity, Roundings | None]:
    """The graph against the model; with the same roundings where float errors tell them apart.

    Outputs are those of the session that users open either way. A second session, of the same graph
    with its roundings as further outputs, only tells how it rounded.
    """
    outputs = run_module(model, part.feeds, output_names=part.output_names)
    text = source.task.text
    at: dict[str, Any] = {
        "traced": trace_sizes(dimension_sizes(part.feeds, part.dimensions)),
        "longest": None if text is None else text.max_length,
        "seed": seed,
        "say": say,
    }
    opened = open_session(file, OPTIONS)
    plain = compared(part, opened, outputs, limit=math.inf, **at)
    if plain.max_abs_error <= LIMIT:
        return replace(plain, limit=LIMIT), None
    from toolkit.export.rounding import WITHOUT_QAT, SameRoundings, rounded_names

    exposed = file.with_name("exposed.onnx")
    try:
        write(_exposing(proto, rounded_names(_values(proto))), exposed)
        session = open_session(exposed, OPTIONS)  # fused as the one that users open is
    finally:
        exposed.unlink(missing_ok=True)
    same = SameRoundings(model.converted(), session)
    say("parity with the same roundings")
    wanted = run_module(same, part.feeds, output_names=part.output_names)
    pinned = replace(part, module=same)
    parity = compared(pinned, opened, wanted, limit=LIMIT, fix=WITHOUT_QAT, **at)
    return parity, Roundings(
        compared=same.roundings,
        differing=same.differing,
        furthest=same.furthest,
        max_abs_error=plain.max_abs_error,
    )


def _values(proto: ModelProto) -> list[str]:
    return [name for node in proto.graph.node for name in node.output]


def _exposing(proto: ModelProto, names: list[str]) -> ModelProto:
    """The graph with more outputs."""
    import onnx

    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    for name in names:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None)
        exposed.graph.output.append(value)
    return exposed


def _kernels(file: Path, folder: Path) -> dict[str, int]:
    """The operators that are left when ONNX Runtime has optimized the graph for this machine."""
    import onnx

    optimized = folder / "optimized.onnx"
    open_session(file, OPTIONS, graph=optimized)
    found = onnx.load(optimized, load_external_data=False)
    for left in folder.glob(f"{optimized.name}*"):
        left.unlink()
    return dict(Counter(node.op_type for node in found.graph.node).most_common())
