"""What `toolkit inspect` prints of predictions."""

from typing import TYPE_CHECKING

from toolkit.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolkit.inspection import Prediction

REASONS = 3


def show(predictions: "Sequence[Prediction]") -> None:
    """Two tables: the shares, then what breaks them and what to change."""
    if not any(found.nodes for found in predictions):
        return
    output.show_table(
        "predicted, from each provider's rules; nothing was run",
        ["provider", "nodes predicted", "work", "partitions"],
        [
            [
                found.name,
                f"{output.number(found.predicted, '.1%')} ({found.taken} of {found.nodes})",
                output.number(found.predicted_work, ".1%"),
                found.partitions,
            ]
            for found in predictions
        ],
    )
    unknown = [f"{found.name} {found.unknown}" for found in predictions if found.unknown]
    if unknown:
        output.show_text(
            f"{'unknown':>12}  types or sizes of nodes that count as taken, as no rule about them "
            f"could be checked: {', '.join(unknown)}"
        )
    rows = [
        [found.name, broken.nodes, broken.operator, _why(broken.reason, broken.change)]
        for found in predictions
        for broken in found.breaks[:REASONS]
    ]
    if rows:
        output.show_table(
            f"what would be left to the CPU, {REASONS} reasons a provider (--json has all)",
            ["provider", "nodes", "operator", "why; what to change"],
            rows,
        )
    for change, names in _changes(predictions).items():
        output.show_text(f"{'change':>12}  {change}   ({', '.join(names)})")


def _why(reason: str, change: str) -> str:
    return f"{reason}; {change}" if change and "--fix-shapes" not in change else reason


def _changes(predictions: "Sequence[Prediction]") -> dict[str, list[str]]:
    """Changes by what they say, with the providers that they help; those of sizes alone."""
    found: dict[str, list[str]] = {}
    for prediction in predictions:
        for change in prediction.changes:
            if "--" in change:  # something to type, said once
                found.setdefault(change, []).append(prediction.name)
    return found
