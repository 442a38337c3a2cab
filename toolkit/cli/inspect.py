"""`toolkit inspect`."""

from typing import TYPE_CHECKING, Any

from toolkit.cli import output, predicted_shown
from toolkit.cli.options import (
    ComponentOption,
    FixShapesOption,
    JsonOption,
    SourceArgument,
    VariantOption,
    session_options,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from toolkit.inspection import Inspection, PackageView


def inspect(
    source: SourceArgument,
    component: ComponentOption = None,
    variant: VariantOption = None,
    fix_shapes: FixShapesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say what is in a model, what each provider here takes, and what others would take."""
    from toolkit import inspection

    sizes = session_options(fix_shapes=fix_shapes).fix_shapes if fix_shapes else {}
    found = inspection.inspect_model(source, component=component, variant=variant, fix_shapes=sizes)
    if json_output:
        output.show_json(found.as_json())
        return
    for part in found.components:
        _show_graph(part)
    if found.package is None:
        return
    _show_package(found.package, is_several=found.is_one_of_several)
    for part in found.components:
        if part.package is not None:
            _show_variants(part.package, title=part.component if part.is_one_of_several else "")


def _show_graph(found: "Inspection") -> None:
    graph = found.graph
    component = found.component if found.is_one_of_several else ""
    output.show_text(" ".join(filter(None, [found.name, component, found.variant])))
    for word, specs in (("input", graph.inputs), ("output", graph.outputs)):
        for spec in specs:
            output.show_text(f"{word:>12}  {spec.name}: {spec}")
    opsets = ", ".join(f"{name or 'ai.onnx'} {version}" for name, version in graph.opsets.items())
    dtypes = ", ".join(f"{count:,} {dtype}" for dtype, count in graph.parameters.items())
    operators = ", ".join(f"{name} {count}" for name, count in graph.operators.items())
    for name, text in (
        ("symbolic", ", ".join(found.dimensions) or "nothing: every size is fixed"),
        ("fixed at", ", ".join(f"{name}={size}" for name, size in found.fix_shapes.items())),
        ("opset", f"{opsets}; IR version {graph.ir_version}"),
        ("producer", graph.producer),
        ("parameters", f"{found.parameters:,} ({dtypes})"),
        ("size", f"{found.size_bytes:,} bytes in {', '.join(graph.files)}"),
        ("missing", ", ".join(graph.missing_files)),
        ("operators", f"{sum(graph.operators.values())}: {operators}"),
    ):
        if text:
            output.show_text(f"{name:>12}  {text}")
    for provider, share in found.providers.items():
        placed = share.why if share.placed is None else f"{share.placed:.1%} of the nodes placed"
        output.show_text(f"{provider:>12}  {placed}")
    predicted_shown.show(found.predictions)


def _show_package(package: "PackageView", *, is_several: bool) -> None:
    task, source = package.task, package.source
    labels = ", ".join(task["labels"])
    steps = ", ".join(
        f"{step['step']} {step['component']}/{step['variant']}"
        if is_several
        else f"{step['step']} {step['variant']}"
        for step in package.history
    )
    output.show_text(f"{'task':>12}  {task['name']}{f': {labels}' if labels else ''}")
    output.show_text(f"{'source':>12}  {source['kind']} {source['name']}, {source['exporter']}")
    output.show_text(f"{'history':>12}  {steps}")


def _show_variants(package: "PackageView", *, title: str) -> None:
    output.show_table(
        title,
        ["variant", "precision", "method", "from", "bytes", "parity"],
        [
            [
                variant["name"],
                variant["precision"],
                variant["method"],
                variant["parent"],
                f"{variant['size_bytes']:,}",
                _parity(variant["parity"]),
            ]
            for variant in package.variants
        ],
    )
    for variant in package.variants:
        for name, text in _options(variant):
            output.show_text(f"{name:>12}  {variant['name']}: {text}")


def _options(variant: "Mapping[str, Any]") -> "Iterator[tuple[str, str]]":
    """Session options of a variant, and what of them was tuned."""
    from toolkit.runtime.entries import entries_text

    if variant["session_options"]:
        yield "session", entries_text(variant["session_options"])
    tuned = variant["tuned"]
    if tuned:
        machine = tuned["machine"]
        where = "this class of machine" if tuned["is_here"] else "another class of machine"
        chosen = [entries_text(tuned["session_options"]) or "no session option"]
        if "batch" in tuned:
            chosen.append(
                f"batches of {tuned['batch']}, sessions: {tuned['sessions']}, threads of each: "
                f"{tuned['session_threads']}"
            )
        yield (
            "tuned",
            f"{'; '.join(chosen)}, for {where} ({machine['cpu']}, {machine['cores']} cores)",
        )


def _parity(parity: "dict[str, object]") -> str:
    plain = ((key, value) for key, value in parity.items() if isinstance(value, (int, float, str)))
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in plain
    )
