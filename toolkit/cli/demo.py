"""`toolkit demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import output
from toolkit.cli.options import ForceOption, JsonOption

if TYPE_CHECKING:
    from toolkit.demo import DemoReport, DemoStep


def demo(
    *,
    target: Annotated[
        Path, typer.Option("-o", "--output", help="A directory for the run and the package.")
    ] = Path("toolkit-demo"),
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Train, export, quantize, check, run and profile a text classifier on shipped data."""
    import msgspec

    from toolkit import demo as step

    report = step.demo(target, force=force, show=_show_step)
    if json_output:
        output.show_json(msgspec.to_builtins(report))
    else:
        _show(report)


def _show_step(step: "DemoStep | str") -> None:
    if isinstance(step, str):
        output.say(f"\n$ {step}")
        return
    for line in _summary(step.result):
        output.say(f"  {line}")
    output.say(f"  {step.seconds:.1f} s")


def _summary(result: Any) -> list[str]:
    """What one command found, in a line or two."""
    if "run" in result:
        accuracy = result["metrics"]["test"]["metrics"]["accuracy"]["value"]
        return [f"test accuracy {accuracy:.4f}"]
    if "parity" in result:
        parity = result["parity"]
        count, error = len(parity["shapes"]), parity["max_abs_error"]
        return [f"{count} shapes, max abs error {error:.2g} (limit {parity['limit']:g})"]
    if "candidates" in result:
        return [
            f"{c['method']}: {output.size(c['size_bytes']) + ', ' if c['size_bytes'] else ''}"
            f"{'kept' if c['kept'] else 'not kept'} ({c['why']})"
            for c in result["candidates"]
        ]
    if "checks" in result:
        return [f"{len(result['checks'])} checks passed"]
    if "results" in result:
        return [f"{entry['label']}  {entry['score']:.4f}" for entry in result["results"]]
    if "latency_ms" in result:
        p50, creation = result["latency_ms"]["p50"], result["session_creation_ms"]["median"]
        return [f"p50 {p50:.3f} ms, session creation {creation:.1f} ms"]
    return [f"{result['variant']}: accuracy {result['metrics']['accuracy']['value']:.4f}"]


def _show(report: "DemoReport") -> None:
    rows = []
    for row in report.variants:
        low, high = row["accuracy"]["interval_95"]
        ratio, interval = row["latency_ratio"], row["latency_ratio_95"]
        versus = "" if ratio is None else f"{ratio:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
        accuracy = f"{row['accuracy']['value']:.4f} ({low:.4f} to {high:.4f})"
        size, p50 = output.size(row["size_bytes"]), output.number(row["latency_ms"], ".3f")
        rows.append([row["variant"], row["method"], size, accuracy, p50, versus])
    output.show_table(
        "",
        ["variant", "method", "size", "test accuracy (95 %)", "p50 ms", "time / fp32 (95 %)"],
        rows,
        note=f"{report.seconds:.0f} s in all",
    )
