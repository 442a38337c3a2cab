"""The ways to rewrite a graph for speed, by name: our passes, and those of other libraries."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolkit.errors import InputError
from toolkit.export import graph
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.weights import EXTERNAL_ABOVE_BYTES
from toolkit.optimize.kernels import optimize_for_cpu, with_shapes
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "fp16"]

GPU_PROVIDERS = frozenset({Provider.CUDA, Provider.TENSORRT, Provider.DIRECTML, Provider.WEBGPU})
"""Providers whose kernels compute in float16; the CPU's mostly convert to float32 and back."""

_FUSIONS = {
    Provider.CUDA: "cuda",
    Provider.TENSORRT: "cuda",
    Provider.DIRECTML: "dml",
    Provider.WEBGPU: "webgpu",
}
"""What transformers calls the providers; "cpu" for any other."""

LARGEST_BYTES = EXTERNAL_ABOVE_BYTES // 2
"""Rewriting keeps several copies of a graph, and protobuf takes none above 2 GiB."""


class RewriterError(Exception):
    """A rewriter gave up on a graph; the step goes on without its candidate."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to rewrite.

    Attributes:
        name: How reports call it.
        summary: What it does, in a line.
        precision: The variant's precision.
        rewrite: Takes a model, which it may change, and the provider that shall run it; returns
            the rewritten one.
    """

    name: str
    summary: str
    precision: str
    rewrite: "Callable[[onnx.ModelProto, Provider], onnx.ModelProto]"

    def apply(self, model: Path, target: Path, provider: Provider) -> int:
        """Write the rewritten model; says how many nodes it has more or fewer of a kind.

        Args:
            model: The float32 model.
            target: Where the rewritten one is written, and beside it its weights above 2 GiB. With
                0 nothing is.
            provider: The provider that shall run it.

        Raises:
            RewriterError: The graph is too large, a library is missing or fails.
            SetupError: The extra `export` is not installed.
        """
        with export_extra("rewriting a graph"):
            import onnx
            import onnx_ir as ir  # noqa: F401 - asked for before a rewriter needs it
        proto = onnx.load(model)
        if proto.ByteSize() > LARGEST_BYTES:
            raise RewriterError(
                f"the graph has {proto.ByteSize() / 1e9:.1f} GB; at most "
                f"{LARGEST_BYTES / 1e9:.1f} GB are rewritten"
            )
        before = _operators(proto)
        with quiet():
            try:
                rewritten = self.rewrite(proto, provider)
            except RewriterError:
                raise
            except ImportError as error:
                raise RewriterError(f"it needs {error.name}, which is not installed") from error
            except OSError:  # a full disk is no property of the graph
                raise
            except Exception as error:  # whatever a library makes of a graph
                raise RewriterError(f"{type(error).__name__}: {_first_line(error)}") from error
        after = _operators(rewritten)
        changed = (after - before).total() + (before - after).total()
        if changed:
            graph.strip(rewritten)
            graph.write(rewritten, target)
        return changed


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _operators(model: "onnx.ModelProto") -> "Counter[tuple[str, str]]":
    return Counter((node.domain, node.op_type) for node in model.graph.node)


def _fused(model: "onnx.ModelProto", provider: Provider) -> "onnx.ModelProto":
    """Our own passes, which are for the CPU's kernels; the others are measured all the same."""
    del provider
    import onnx_ir as ir

    loaded = with_shapes(model)
    return ir.to_proto(loaded) if optimize_for_cpu(loaded) else model


def _transformers(model: "onnx.ModelProto", provider: Provider) -> "onnx.ModelProto":
    """The fusions that transformers (5.23) applies for `OnnxConfig(ort_fusions=...)`.

    Those of RMSNorm write SimplifiedLayerNormalization in the domain of the standard, which has no
    such operator: ONNX Runtime (1.31) opens the graph, knows the operator in no domain of its own,
    and the checker refuses it. So does the step; decoders with RMSNorm get no variant from here.
    """
    import onnx_ir as ir
    from transformers.exporters.onnxruntime_fusions import fuse_for_onnxruntime

    loaded = ir.from_proto(model)
    fuse_for_onnxruntime(loaded, _FUSIONS.get(provider, "cpu"))
    return _without_shapes(ir.to_proto(loaded))


def _onnxscript(model: "onnx.ModelProto", provider: Provider) -> "onnx.ModelProto":
    """The fusions of onnxscript (0.7.2) for ONNX Runtime, which know no provider."""
    del provider
    import onnx_ir as ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    loaded, _ = optimize_for_ort(ir.from_proto(model))
    return _without_shapes(ir.to_proto(loaded))


def _float16(model: "onnx.ModelProto", provider: Provider) -> "onnx.ModelProto":
    """Weights and arithmetic in float16; inputs and outputs stay as they are."""
    del provider
    import onnx_ir as ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for each weight that float16 cannot hold
        converted: Any = convert_float_to_float16(model, keep_io_types=True)
    # onnxruntime 1.31 writes the same cast twice for a value that two nodes in float32 read.
    nodes = {node.SerializeToString(): node for node in converted.graph.node}
    del converted.graph.node[:]
    converted.graph.node.extend(nodes.values())
    loaded = ir.from_proto(_without_shapes(converted))
    loaded.graph.sort()  # onnxruntime 1.31 puts the casts of inputs behind their readers
    return ir.to_proto(loaded)


def _without_shapes(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model without recorded shapes, of which the libraries leave some that no longer hold."""
    del model.graph.value_info[:]
    return model


FUSIONS = (
    Method(
        name="fused",
        summary="the toolkit's passes: attention as one node, rows that nobody reads left out",
        precision="fp32",
        rewrite=_fused,
    ),
    Method(
        name="transformers",
        summary="the fusions of transformers.exporters for this provider",
        precision="fp32",
        rewrite=_transformers,
    ),
    Method(
        name="onnxscript",
        summary="onnxscript's fusions for ONNX Runtime",
        precision="fp32",
        rewrite=_onnxscript,
    ),
)
"""The methods that keep float32."""

FLOAT16 = Method(
    name="fp16",
    summary="weights and arithmetic in float16",
    precision="fp16",
    rewrite=_float16,
)


def chosen_methods(names: Sequence[str], precision: Precision | None) -> list[Method]:
    """The methods of these names and this precision.

    Args:
        names: All of them when empty.
        precision: Any when not given.

    Raises:
        InputError: There is no such method, or none makes that precision.
    """
    known = {method.name: method for method in (*FUSIONS, FLOAT16)}
    for name in names:
        if name not in known:
            raise InputError(f"there is no method {name!r}", expected=f"one of {', '.join(known)}")
    chosen = [known[name] for name in names or known]
    fitting = [method for method in chosen if precision in {None, method.precision}]
    if not fitting:
        raise InputError(
            f"none of {', '.join(names)} makes a variant of precision {precision}",
            expected=", ".join(f"{m.name} ({m.precision})" for m in known.values()),
        )
    return fitting
