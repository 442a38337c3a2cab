"""What an exporter is given: modules with reference feeds, wherever they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolkit.export.feeds import Dimensions, Sizes
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array

if TYPE_CHECKING:
    from torch import nn

    from toolkit.training.fake_quantization import FakeQuantized

ExporterName = Literal["auto", "torchscript", "transformers", "torch", "optimum"]
EXPORTERS: tuple[ExporterName, ...] = ("torchscript", "transformers", "torch", "optimum")
"""In the order in which "auto" tries them."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """At which sizes a module is traced and compared, where its reference rows cannot say.

    Attributes:
        traced: Sizes to trace with; at least 2 each, and all different.
        compared: Sizes to compare at.
        make: Feeds of given sizes from a seed.
    """

    traced: Sizes
    compared: tuple[Sizes, ...]
    make: Callable[[Sizes, int], dict[str, Array]]


@dataclass(frozen=True, kw_only=True)
class TorchPart:
    """One module that becomes one graph.

    Attributes:
        component: The package's component that the graph becomes.
        module: In eval mode, on the CPU. Its forward takes the inputs by name, with "_" for every
            "." of a name, and returns one tensor, a tuple of them or a {name: tensor}.
        feeds: The reference inputs.
        dimensions: Their symbolic dimensions.
        output_names: Names of the tensors that the module returns; empty for the defaults.
        shapes: Where to trace and to compare; none makes both from `feeds`.
        read: What of its outputs anybody reads, from feeds and outputs: what a model computes for
            padding is compared with nothing. All of them when not given.
        scale: How much wider than usual the tolerance is: float32 has as many digits for large
            outputs as for small ones.
    """

    component: str = "model"
    module: nn.Module
    feeds: dict[str, Array]
    dimensions: Dimensions
    output_names: tuple[str, ...] = ()
    shapes: Shapes | None = None
    read: Callable[[Mapping[str, Array], Mapping[str, Array]], Mapping[str, Array]] | None = None
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TorchSource:
    """A model ready to be exported.

    Attributes:
        kind: Which kind of source it was.
        name: Its name, without a folder.
        sha256: Digest of the weights.
        parts: The modules, one a graph.
        task: What the model is for.
        exporters: Which exporters can take it, in the order to try them.
        preprocessing: The folder to copy; none for none.
        items: The reference inputs before preprocessing.
        metrics: What training measured.
        path: The checkpoint's directory, for an exporter that reads it by itself.
        quantized: Makes the model with fake quantizers that a run holds; None for none.
        quantized_metrics: What training measured of it.
    """

    kind: Literal["run", "module", "checkpoint"]
    name: str
    sha256: str
    parts: tuple[TorchPart, ...]
    task: TaskSpec
    exporters: tuple[ExporterName, ...] = ("torch",)
    preprocessing: Path | None = None
    items: Sequence[Any] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    quantized: Callable[[], FakeQuantized] | None = None
    quantized_metrics: Mapping[str, Any] = field(default_factory=dict)
