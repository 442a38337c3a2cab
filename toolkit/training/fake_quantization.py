"""A trained module with its quantization simulated: it learns, and computes what a QDQ graph will.

torch.export makes a graph of the module in eval mode, torchao's PT2E folds BatchNorm into the
convolutions, puts fake quantizers where `quantizer` wants them, and writes quantize and dequantize
in their place at the end.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx import GraphModule, Node

from toolkit.errors import InputError, SetupError
from toolkit.library_noise import less_logged
from toolkit.tensors import Array
from toolkit.training.recipe import TRAIN_EXTRA

INSTEAD = "toolkit quantize PKG --data FILE        (quantizes the exported graph)"
_LARGEST_BIAS = 2**31 - 1


class FakeQuantized(nn.Module):
    """A module's graph with fake quantizers, which takes and returns what the module does.

    Ranges of activations are learned in training mode, for the first `observed_steps` batches, and
    stand still from then on; ranges of weights follow the weights.

    Args:
        graph: What torchao prepared.
        observed_steps: Batches that may move the ranges of activations.
    """

    steps: Tensor

    def __init__(self, graph: GraphModule, observed_steps: int) -> None:
        super().__init__()
        self.graph = graph
        self.observed_steps = observed_steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._activations = [
            quantizer for quantizer in _quantizers(graph) if not _is_weight(quantizer)
        ]

    def forward(self, **feeds: Tensor) -> Any:
        """What the module returns for these feeds, with the rounding of 8-bit numbers.

        Raises:
            FloatingPointError: A weight or an activation is NaN, so that it has no range.
        """
        observes = self.training and int(self.steps) < self.observed_steps
        for quantizer in self._activations:
            quantizer.observer_enabled.fill_(int(observes))
        if self.training:
            self.steps += 1
        try:
            return self.graph(**feeds)
        except AssertionError as error:  # torchao's observers assert that a range has two ends
            if "should be less than max" not in str(error):
                raise
            raise FloatingPointError("a weight or an activation is NaN") from error

    def train(self, mode: bool = True) -> FakeQuantized:
        """Only the ranges care: the graph was made in eval mode, and torchao refuses to switch."""
        self.training = mode
        return self

    @torch.no_grad()
    def settle(self) -> None:
        """Put biases on the grid of the int32 sums that integer kernels add them to."""
        for node in self.graph.graph.nodes:  # ranges of weights first: loading does not set them
            if node.op == "call_module" and node.args[0].op == "get_attr":
                weight = self.graph.get_parameter(node.args[0].target)
                self.graph.get_submodule(node.target)(weight)
        for node in self.graph.graph.nodes:
            found = _sums_of(self.graph, node)
            if found is not None:
                scale, bias = found
                rounded = torch.round(bias / scale).clamp(-_LARGEST_BIAS, _LARGEST_BIAS)
                bias.copy_(rounded * scale)

    def converted(self) -> nn.Module:
        """The same with quantize and dequantize in the graph, and weights in int8."""
        with _quiet():
            graph = _torchao().convert_pt2e(copy.deepcopy(self.graph))
        assert isinstance(graph, GraphModule)
        graph.train = lambda mode=True: graph  # type: ignore[method-assign]  # noqa: ARG005  # torchao's raises
        graph.eval = lambda: graph  # type: ignore[method-assign]  # the same
        return graph


def fake_quantized(
    module: nn.Module,
    feeds: Mapping[str, Array],
    dimensions: Mapping[str, Mapping[int, str]],
    *,
    observed_steps: int = 0,
) -> FakeQuantized:
    """The module with fake quantizers.

    Args:
        module: In eval mode. It shares no weight with what is returned.
        feeds: Some rows; they are traced at sizes of this function's choice.
        dimensions: {input: {axis: name}} of the symbolic dimensions.
        observed_steps: Batches that may move the ranges of activations.

    Raises:
        InputError: torch.export cannot trace the module, or nothing in it can be quantized.
        SetupError: torchao is not installed.
    """
    torchao = _torchao()
    from torchao.quantization.pt2e.quantizer import ComposableQuantizer

    from toolkit.training.quantizer import EdgeQuantizer

    recurrent = next((m for m in module.modules() if isinstance(m, nn.RNNBase)), None)
    if recurrent is not None:
        raise InputError(
            f"quantization-aware training cannot take a model with nn.{type(recurrent).__name__}",
            expected="linear layers and convolutions: PT2E has no quantizer for recurrent layers",
            fix=INSTEAD,
        )
    learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    known = {name for name, _ in module.named_parameters()}
    shapes = {name: dict.fromkeys(dimensions.get(name, {}), Dim.DYNAMIC) for name in feeds}
    tensors = _at_traced_sizes(feeds, dimensions)
    with _quiet():
        try:
            program = torch.export.export(
                copy.deepcopy(module).eval(), (), tensors, dynamic_shapes=shapes
            )
        except Exception as error:  # whatever a recipe's code makes of tracing
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise InputError(
                "quantization-aware training cannot take the model: torch.export stops with "
                f"{type(error).__name__}: {reason}",
                expected="a forward without branches on values and sizes",
                fix=INSTEAD,
            ) from error
        graph = program.module(check_guards=False)
        assert isinstance(graph, GraphModule)
        # Preparing with a quantizer that wants nothing folds BatchNorm, and only that.
        graph = torchao.prepare_pt2e(graph, ComposableQuantizer([]))
        graph = torchao.prepare_qat_pt2e(graph, EdgeQuantizer())
    if not any(_is_product(node) for node in graph.graph.nodes):
        raise InputError(
            "nothing in the model can be quantized: its graph has no linear layer and no "
            "convolution with a weight of its own",
            expected="at least one nn.Linear, nn.Conv1d or nn.Conv2d",
            fix=INSTEAD,
        )
    for name, parameter in graph.named_parameters():
        parameter.requires_grad = name in learned or name not in known  # a folded bias is new
    return FakeQuantized(graph, observed_steps)


def _at_traced_sizes(
    feeds: Mapping[str, Array], dimensions: Mapping[str, Mapping[int, str]]
) -> dict[str, Tensor]:
    """Feeds whose symbolic dimensions are 5, 7 and so on.

    torch.export makes a constant of 1, and may tie two dimensions of one size together.
    """
    sizes: dict[str, int] = {}
    tensors = {}
    for name, array in feeds.items():
        found = array
        for axis, dimension in dimensions.get(name, {}).items():
            size = sizes.setdefault(dimension, 5 + 2 * len(sizes))
            found = found.take(range(size), axis=axis, mode="wrap")
        tensors[name] = torch.from_numpy(found.copy())
    return tensors


def _quantizers(graph: nn.Module) -> Iterator[Any]:
    from torchao.quantization.pt2e import FakeQuantize

    yield from (module for module in graph.modules() if isinstance(module, FakeQuantize))


def _is_weight(quantizer: Any) -> bool:
    return bool(quantizer.is_per_channel)


def _is_product(node: Node) -> bool:
    """Whether it is a product with fake quantizers on the activation and on the weight."""
    from toolkit.training.quantizer import PRODUCTS

    terms: list[Any] = [*node.args[:2]]
    return node.target in PRODUCTS and all(term.op == "call_module" for term in terms)


def _sums_of(graph: GraphModule, node: Node) -> tuple[Tensor, Tensor] | None:
    """The scale of a product's int32 sums and its bias; None where there is none."""
    if not _is_product(node) or len(node.args) < 3 or node.args[2] is None:
        return None
    activation, weight, bias = (str(source.target) for source in node.args[:3])  # type: ignore[union-attr]  # nodes
    scales = [graph.get_submodule(name).scale for name in (activation, weight)]
    assert all(isinstance(scale, Tensor) for scale in scales)
    return scales[0] * scales[1], graph.get_parameter(bias)  # type: ignore[operator]  # see above


def _torchao() -> ModuleType:
    """PT2E of torchao."""
    try:
        with _quiet():
            from torchao.quantization.pt2e import quantize_pt2e
    except ImportError as error:
        raise SetupError(
            f"quantization-aware training needs {error.name}, which is not installed",
            fix=TRAIN_EXTRA,
        ) from error
    assert isinstance(quantize_pt2e, ModuleType)
    return quantize_pt2e


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch.export and torchao remark on themselves."""
    with (
        less_logged("torch", "torch.export", "torch.utils._pytree", "torchao"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
