"""A module's ONNX graph, by torch.onnx; and the module's own answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.export.feeds import Dimensions
from toolkit.export.graph import name_dimensions, rename
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.weights import Traced, set_aside
from toolkit.tensors import Array, Feeds

if TYPE_CHECKING:
    from torch import nn

IR_VERSION = 10
OPSETS = range(18, 22)
"""From 23 on ONNX Runtime's CPU Attention rejects broadcast masks (platform.md)."""

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_FROZEN = re.compile(
    r"static shape of (?P<size>\d+) for dimension "
    r"inputs\['(?P<input>\w+)'\]\.shape\[(?P<axis>\d+)\]"
)
_WORD = re.compile(r"\W+")
_TERMINAL_COLORS = re.compile(r"\x1b?\[\d+m")


def trace(
    _source: TorchSource,
    part: TorchPart,
    feeds: Feeds,
    output_names: Sequence[str],
    *,
    opset: int,
) -> Traced:
    """The module's graph, traced at the sizes of the feeds.

    Args:
        part: The module, in eval mode, and its symbolic dimensions.
        feeds: Its inputs by name; every symbolic dimension has at least size 2.
        output_names: One a returned tensor.
        opset: Operator-set version.

    Raises:
        InputError: The module cannot be exported, or fixes a dimension that shall be symbolic.
    """
    with export_extra():
        import onnxscript  # noqa: F401 - torch.onnx needs it, and would say so less well
        import torch

    arguments = {argument(name): name for name in feeds}
    shapes = {
        short: {axis: _WORD.sub("_", dim) for axis, dim in part.dimensions.get(name, {}).items()}
        for short, name in arguments.items()
    }
    # torch 2.13 does not look whether a name is taken, as "embedding" is by any nn.Embedding.
    outputs = {f"graph_output_{i}": name for i, name in enumerate(output_names)}
    _forget_decompositions()
    with quiet():
        try:
            program = torch.onnx.export(
                part.module,
                (),
                kwargs=tensors(feeds),
                dynamo=True,
                verbose=False,
                external_data=False,
                opset_version=opset,
                output_names=[*outputs],
                dynamic_shapes=shapes,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise _refusal(error, shapes) from error
    assert program is not None
    traced = set_aside(program.model)
    rename(traced, arguments | outputs)
    name_dimensions(traced.model, part.dimensions)
    check_signature(traced, feeds, part.dimensions)
    return traced


def run_module(module: nn.Module, feeds: Feeds, *, output_names: Sequence[str]) -> dict[str, Array]:
    """What the module answers, by output name.

    Args:
        module: In eval mode.
        feeds: Its keyword arguments.
        output_names: One a returned tensor; empty for the default names.

    Raises:
        InputError: It returns something other than tensors, or another number of them.
    """
    import torch

    with torch.no_grad():
        returned = module(**tensors(feeds))
    named = _named(returned, output_names)
    return {name: value.detach().cpu().numpy() for name, value in named.items()}


def check_finite(module: nn.Module, where: str) -> None:
    """Whether weights are numbers; a buffer may hold infinities, as a mask does.

    Args:
        module: The module.
        where: What its weights are from, for the message.

    Raises:
        InputError: A parameter holds NaN or an infinity, or a buffer NaN.
    """
    import torch

    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        is_wrong = ~torch.isfinite(value) if name in parameters else torch.isnan(value)
        if bool(is_wrong.any()):
            raise InputError(
                f"{where}: the weight {name!r} has {int(is_wrong.sum()):,} of {value.numel():,} "
                "values that are NaN or infinite",
                expected="finite weights: training has diverged, or the file is damaged",
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: sums then run in one order, and references are the same every time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _forget_decompositions() -> None:
    """Keep recurrent layers whole in a second export of one process.

    An export leaves the Python decomposition of aten.lstm and aten.gru in the operator's dispatch
    cache (torch 2.13). The next one then unrolls the layer, which fixes the sequence length.
    Without that entry the operator reaches the exporter, which has an ONNX LSTM and GRU for it.
    Drop this when the test of repeated exports passes without it.
    """
    import torch

    for name in _RECURRENT:
        getattr(torch.ops.aten, name).input._dispatch_cache.clear()  # noqa: SLF001 - no other way


def tensors(feeds: Feeds) -> dict[str, Any]:
    """Feeds as a module's keyword arguments."""
    import torch

    return {argument(name): torch.from_numpy(np.array(value)) for name, value in feeds.items()}


def argument(name: str) -> str:
    """What a module calls the input of this name: Python takes no "." in a name."""
    return name.replace(".", "_")


def first_line(error: BaseException) -> str:
    """The cause of an exporter's failure in a line."""
    cause = error.__cause__ or error
    lines = [line for line in _TERMINAL_COLORS.sub("", str(cause)).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0].strip() if lines else ''}"


def _named(returned: object, output_names: Sequence[str]) -> dict[str, Any]:
    import torch

    if isinstance(returned, Mapping):
        values, names = [*returned.values()], [str(key) for key in returned]
    elif isinstance(returned, (tuple, list)):
        values, names = [*returned], [f"output_{i}" for i in range(len(returned))]
    else:
        values, names = [returned], ["output"]
    wrong = next((value for value in values if not isinstance(value, torch.Tensor)), None)
    if wrong is not None or not values:
        raise InputError(
            f"the module returns {type(wrong).__name__ if values else 'nothing'}",
            expected="one tensor, a tuple of tensors or a {name: tensor}",
        )
    if output_names and not isinstance(returned, Mapping):
        names = list(output_names)
    if len(names) != len(values):
        raise InputError(
            f"the module returns {len(values)} tensors for the output names {', '.join(names)}",
            expected="one name a tensor",
        )
    return dict(zip(names, values, strict=True))


def check_signature(traced: Traced, feeds: Feeds, dimensions: Dimensions) -> None:
    """Whether a graph takes the feeds, at any size of the symbolic dimensions.

    Raises:
        InputError: It takes others, or only one size.
    """
    found = {
        value.name: value.type.tensor_type.shape.dim
        for value in traced.model.graph.input
        if value.name not in traced.weights
    }
    if found.keys() != feeds.keys():
        raise InputError(
            f"the exported graph takes {', '.join(found) or 'nothing'}",
            expected=f"{', '.join(feeds)}, the names of the example inputs",
            fix="give forward one argument an input, by these names",
        )
    for name, axes in dimensions.items():
        for axis, dimension in axes.items():
            if found[name][axis].dim_param != dimension:
                size = found[name][axis].dim_param or found[name][axis].dim_value
                raise _frozen(name, axis, dimension, str(size))


def _refusal(error: Exception, dimensions: Dimensions) -> InputError:
    frozen = _FROZEN.search(_TERMINAL_COLORS.sub("", str(error)))
    if frozen is not None:
        name, axis = frozen["input"], int(frozen["axis"])
        return _frozen(name, axis, dimensions[name][axis], frozen["size"])
    return InputError(
        f"torch.onnx cannot export the module: {first_line(error)}",
        expected="a module that torch.export can trace",
        fix="torch.export.export(module, (), inputs)        (shows where it stops)",
    )


def _frozen(name: str, axis: int, dimension: str, size: str) -> InputError:
    return InputError(
        f"the module fixes axis {axis} of input {name!r} ({dimension}) at {size}",
        expected=f"a forward that works for any {dimension}",
        fix="remove Python branches, loops and constants that depend on this size (torch unrolls "
        "nn.RNN; nn.LSTM and nn.GRU stay whole), or leave it out of dynamic_dimensions",
    )
