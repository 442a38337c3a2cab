"""The ways to quantize a graph, by name."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from toolkit.errors import InputError
from toolkit.quantize.blocks import blocks
from toolkit.quantize.blockwise import quantize_blocks
from toolkit.quantize.context import Context, Method
from toolkit.quantize.dynamic import dynamic
from toolkit.quantize.half import quantize_half
from toolkit.quantize.observing import RangeMethod
from toolkit.quantize.rowwise import quantize_rowwise
from toolkit.quantize.static import static
from toolkit.quantize.weights import quantize_weights
from toolkit.tasks import TaskSpec

_AT_LOAD = {"session.disable_quant_qdq": "1"}
"""Without it ONNX Runtime dequantizes weights in every run; with it, once at load."""


def _rowwise(model: Path, target: Path, context: Context) -> int:
    return quantize_rowwise(
        model,
        target,
        keep=context.keep,
        is_portable=context.is_portable,
        folded=context.without_config,
    )


def _weights(model: Path, target: Path, context: Context) -> int:
    return quantize_weights(model, target, keep=context.keep, folded=context.without_config)


def _blockwise(model: Path, target: Path, context: Context) -> int:
    return quantize_blocks(model, target, keep=context.keep)


def _static_methods() -> list[Method]:
    """Static int8 in all of its settings; of which some are tried by default."""
    ranges: tuple[RangeMethod, ...] = ("minmax", "percentile", "entropy")
    words = {
        "minmax": "the whole range of an activation",
        "percentile": "99.99 % of an activation's values",
        "entropy": "the range of least information lost",
    }
    by_default = {  # in the order that they are tried in
        "static-minmax-smooth": 40,
        "static-minmax": 41,
        "static-percentile": 42,
        "static-entropy": 43,
        "static-minmax-symmetric": 44,
        "static-minmax-16bit": 45,
    }
    found = []
    settings = product((8, 16), (False, True), (False, True), ranges)
    for number, (bits, smooth, symmetric, chosen) in enumerate(settings):
        parts = ["symmetric" if symmetric else "", f"{bits}bit" if bits != 8 else ""]
        name = "-".join(filter(None, ["static", chosen, *parts, "smooth" if smooth else ""]))
        found.append(
            Method(
                name=name,
                summary=f"int8 weights, {bits}-bit activations with fixed scales: {words[chosen]}"
                + (", symmetric" if symmetric else "")
                + (", after scales were moved into the weights" if smooth else ""),
                precision="int8",
                apply=static(chosen, symmetric=symmetric, bits=bits, smooth=smooth),
                rank=by_default.get(name, 46 + number),
                needs_data=True,
                by_default=name in by_default,
                grain="tensor",
            )
        )
    return found


METHODS: tuple[Method, ...] = (
    Method(
        name="rowwise",
        summary="int8 weights a channel, int8 activations with a scale a row",
        precision="int8",
        apply=_rowwise,
        rank=10,
        grain="row",
        reads_bodies=True,
        session_options=_AT_LOAD,  # for the weights of other operators
    ),
    Method(
        name="weight-only",
        summary="int8 weights a channel, computed in float32",
        precision="int8",
        apply=_weights,
        rank=11,
        reads_bodies=True,
        session_options=_AT_LOAD,
    ),
    Method(
        name="dynamic",
        summary="int8 weights a channel, int8 activations with a scale a batch",
        precision="int8",
        apply=dynamic(per_channel=True, embeddings=True),
        rank=20,
        grain="tensor",
    ),
    Method(
        name="dynamic-no-embeddings",
        summary="the same, with look-up tables in float32",
        precision="int8",
        apply=dynamic(per_channel=True, embeddings=False),
        rank=21,
        grain="tensor",
    ),
    Method(
        name="dynamic-tensor",
        summary="int8 weights with one scale each, int8 activations with a scale a batch",
        precision="int8",
        apply=dynamic(per_channel=False, embeddings=True),
        rank=22,
        grain="tensor",
    ),
    Method(
        name="dynamic-tensor-no-embeddings",
        summary="the same, with look-up tables in float32",
        precision="int8",
        apply=dynamic(per_channel=False, embeddings=False),
        rank=23,
        by_default=False,
        grain="tensor",
    ),
    Method(
        name="blocks8",
        summary="8-bit weights with a scale for 128, int8 rows of tables",
        precision="int8",
        apply=blocks(8, "rtn"),
        rank=30,
    ),
    *_static_methods(),
    Method(
        name="blocks4",
        summary="4-bit weights with a scale for 32, int8 rows of tables",
        precision="int4",
        apply=blocks(4, "rtn"),
        rank=80,
        bits=4,
    ),
    Method(
        name="blocks4-hqq",
        summary="4-bit weights with a scale for 32, chosen by half-quadratic quantization",
        precision="int4",
        apply=blocks(4, "hqq"),
        rank=81,
        bits=4,
    ),
    Method(
        name="blocks4-gptq",
        summary="4-bit weights with a scale for 32, corrected on calibration data (GPTQ)",
        precision="int4",
        apply=blocks(4, "gptq"),
        rank=82,
        needs_data=True,
        bits=4,
    ),
    Method(
        name="fp16",
        summary="weights and arithmetic in float16",
        precision="fp16",
        apply=quantize_half,
        rank=90,
        keeps_nodes=False,
        reads_bodies=True,
    ),
)
"""The methods for models that answer in one run."""

LANGUAGE_METHODS: tuple[Method, ...] = (
    Method(
        name="blockwise",
        summary="4-bit weights with a scale and a least value for 32, int8 rows of tables",
        precision="int4",
        apply=_blockwise,
        rank=10,
        bits=4,
    ),
    *(method for method in METHODS if method.name.startswith("blocks")),
    *(method for method in METHODS if method.name == "weight-only"),
)
"""The methods for language models, whose every step reads all weights for a single token."""

_LANGUAGE_DEFAULTS = {"blockwise", "blocks8"}


def suitable(task: TaskSpec, names: Sequence[str] = ()) -> list[Method]:
    """The methods to try for a task, cheapest first.

    Args:
        task: What the model is for.
        names: Only these; all that are tried by default when empty.

    Raises:
        InputError: There is no such method for the task.
    """
    is_language = task.name == "text-generation"
    known = {method.name: method for method in (LANGUAGE_METHODS if is_language else METHODS)}
    for name in names:
        if name not in known:
            raise InputError(f"there is no method {name!r}", expected=f"one of {', '.join(known)}")
    if names:
        chosen = [known[name] for name in dict.fromkeys(names)]
    elif is_language:
        chosen = [method for name, method in known.items() if name in _LANGUAGE_DEFAULTS]
    else:
        chosen = [method for method in known.values() if method.by_default]
    return sorted(chosen, key=lambda method: method.rank)
