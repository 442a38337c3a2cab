"""A module's ONNX graph, by the exporter that transformers (>= 5.20) ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolkit.errors import InputError, SetupError
from toolkit.export.graph import name_dimensions, rename
from toolkit.export.libraries import export_extra, quiet
from toolkit.export.parts import TorchPart, TorchSource
from toolkit.export.torch_graph import argument, first_line, tensors
from toolkit.export.weights import Traced, set_aside
from toolkit.tensors import Feeds


def trace(
    _source: TorchSource,
    part: TorchPart,
    feeds: Feeds,
    output_names: Sequence[str],
    *,
    opset: int,
) -> Traced:
    """The module's graph, traced at the sizes of the feeds; see `torch_graph.trace`.

    transformers patches what of its model code torch.export cannot trace, and repairs the graph.

    Raises:
        InputError: The module cannot be exported.
        SetupError: transformers is not installed, or too old.
    """
    with export_extra():
        import torch
    try:
        from transformers.exporters.configs import OnnxConfig
        from transformers.exporters.exporter_onnx import OnnxExporter
    except ImportError as error:
        raise SetupError(
            "this transformers has no exporter of its own",
            expected="transformers 5.20 or newer",
            fix="pip install 'onnx-edge-toolkit[cpu,export]'",
        ) from error
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {
        argument(name): dict.fromkeys(part.dimensions.get(name, {}), dynamic) for name in feeds
    }
    config = OnnxConfig(dynamic_shapes=shapes, opset_version=opset)
    with quiet():
        try:
            exporter: Any = OnnxExporter()  # type: ignore[no-untyped-call]  # it has no types
            made = exporter.export(part.module, tensors(feeds), config=config)
            traced = set_aside(made.program)
        except Exception as error:  # whatever torch.export and the exporter raise
            raise InputError(
                f"transformers cannot export it: {first_line(error)}",
                expected="a model that torch.export can trace",
            ) from error
    found = [value.name for value in traced.model.graph.output]
    if len(found) != len(output_names):
        raise InputError(
            f"transformers exports the outputs {', '.join(found)}",
            expected=f"{', '.join(output_names)}, what the module returns",
        )
    rename(
        traced,
        {argument(name): name for name in feeds} | dict(zip(found, output_names, strict=True)),
    )
    name_dimensions(traced.model, part.dimensions)
    return traced
