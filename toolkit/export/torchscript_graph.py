"""A module's ONNX graph, by the older exporter of torch.onnx, which traces with TorchScript."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.export.feeds import Dimensions
from toolkit.export.graph import name_dimensions
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.torch_graph import check_signature, first_line, tensors
from toolkit.export.weights import LARGE_BYTES, Traced
from toolkit.tensors import Feeds

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn

_HOLDER = "traced"
"""What the module is called in the one that is traced; the names of weights begin with it."""
NEWEST_OPSET = 20


def trace(
    _source: TorchSource,
    part: TorchPart,
    feeds: Feeds,
    output_names: Sequence[str],
    *,
    opset: int,
) -> Traced:
    """The module's graph, traced at the sizes of the feeds; see `torch_graph.trace`.

    It takes a fifth of the time of torch.export, and torch (2.13) says that it will be removed. A
    branch on a size becomes what it was at the sizes of the feeds, without a word: whoever
    calls this compares at many sizes, the longest among them.

    Raises:
        InputError: The module cannot be exported.
    """
    with export_extra():
        import onnx
        import onnx_ir as ir
        import torch
    if opset > NEWEST_OPSET:
        raise InputError(
            f"the exporter torchscript knows no opset {opset}",
            expected=f"at most {NEWEST_OPSET}",
        )
    holder = _positional(part.module, [*tensors(feeds)])
    written = io.BytesIO()
    with quiet(), _eager_attention(part.module):
        try:
            torch.onnx.export(
                holder,
                tuple(tensors(feeds).values()),
                written,  # type: ignore[arg-type]  # a stream is what this exporter takes
                dynamo=False,
                opset_version=opset,
                input_names=[*feeds],
                output_names=[*output_names],
                dynamic_axes={name: dict(axes) for name, axes in part.dimensions.items()},
                export_params=False,  # they become inputs, and are not copied
                do_constant_folding=False,  # it would name what it makes, and keep its content
            )
        except Exception as error:  # whatever a trace of a stranger's model raises
            raise InputError(
                f"torchscript cannot export it: {first_line(error)}",
                expected="a module that torch.jit can trace",
            ) from error
    model = onnx.load_from_string(written.getvalue())
    held = {**dict(holder.named_parameters()), **dict(holder.named_buffers())}
    traced = Traced(model=model)
    kept = []
    for value in model.graph.input:
        if value.name in feeds:
            kept.append(value)
            continue
        tensor = held.get(value.name)
        if tensor is None:
            raise InputError(
                f"torchscript makes an input of {value.name}", expected=f"{', '.join(feeds)}"
            )
        array = tensor.detach().numpy()
        if array.nbytes > LARGE_BYTES:
            kept.append(value)
            traced.weights[value.name] = ir.tensor(array, name=value.name)
        else:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    del model.graph.input[:]
    model.graph.input.extend(kept)
    name_dimensions(model, part.dimensions)
    _name_sizes(model, holder, feeds, part.dimensions)
    check_signature(traced, feeds, part.dimensions)
    return traced


def _name_sizes(model: ModelProto, holder: nn.Module, feeds: Feeds, dimensions: Dimensions) -> None:
    """Give the symbols of outputs, which the exporter makes up, the inputs' names by their sizes.

    A size that two dimensions of the feeds share says nothing, and its symbol stays.
    """
    import torch

    named: dict[int, set[str]] = {}
    for name, axes in dimensions.items():
        for axis, symbol in axes.items():
            named.setdefault(feeds[name].shape[axis], set()).add(symbol)
    with torch.no_grad():
        answers = holder(*tensors(feeds).values())
    answers = answers if isinstance(answers, tuple) else (answers,)
    symbols = {symbol for found in named.values() for symbol in found}
    for value, answer in zip(model.graph.output, answers, strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, answer.shape, strict=True):
            if dim.dim_param and dim.dim_param not in symbols and len(named.get(size, ())) == 1:
                dim.dim_param = next(iter(named[size]))


def _positional(module: nn.Module, names: Sequence[str]) -> nn.Module:
    """The module with its inputs in order, which is how a trace feeds it, returning a tuple."""
    from torch import nn

    class Positional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            setattr(self, _HOLDER, module)

        def forward(self, *values: Tensor) -> tuple[Any, ...]:
            answer = module(**dict(zip(names, values, strict=True)))
            return tuple(answer.values()) if isinstance(answer, dict) else answer

    return Positional().eval()


@contextmanager
def _eager_attention(module: nn.Module) -> Iterator[None]:
    """Let transformers' model compute attention by products and Softmax; as before afterwards.

    The exporter writes scaled_dot_product_attention with a scaling of both factors and a guard
    against rows that attend to nothing, which takes longer.
    """
    model: Any = getattr(module, "model", None)
    before = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if before != "sdpa":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
