"""What a phone's execution providers would take of the graph: predicted, never placed."""

from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.document import FOLDER
from toolkit.bundle.job import Job
from toolkit.inspection.coverage import Prediction, predict

_SHOWN = 6


def remark(
    job: Job,
    folder: Path,
    providers: Sequence[str],
    *,
    most_bytes: int,
    store: str,
    not_checked: str,
) -> list[str]:
    """Leave in the bundle's report what is predicted, too large for a store, and not checked.

    Args:
        job: The bundle that is made.
        folder: Where its `model/` is.
        providers: As predictions call them, such as "nnapi" and "coreml MLProgram".
        most_bytes: What the store takes of `model/` as it is.
        store: What it does of more.
        not_checked: What nobody knows before a phone runs it.

    Returns:
        A line a provider, for the README.
    """
    found = {one.name: one for one in predict(folder / FOLDER / job.model.graph)}
    lines = [sentence(found[name]) for name in providers]
    size = sum(file.stat().st_size for file in (folder / FOLDER).rglob("*") if file.is_file())
    job.remarks.extend([*lines, *([store] if size > most_bytes else []), not_checked])
    return lines


def sentence(prediction: Prediction) -> str:
    """One line on one provider."""
    if prediction.predicted is None:
        return f"{prediction.name}: predicted nothing, the graph has no nodes"
    share = f"{prediction.predicted:.0%} of {prediction.nodes} nodes"
    if prediction.predicted_work is not None:
        share += f" and {prediction.predicted_work:.0%} of the matrix products"
    pieces = "piece" if prediction.partitions == 1 else "pieces"
    text = f"{prediction.name}: predicted {share}, in {prediction.partitions} {pieces}"
    left: dict[str, int] = {}
    for one in prediction.breaks:
        left[one.operator] = left.get(one.operator, 0) + one.nodes
    if not left:
        return text
    named = [f"{operator} ({nodes})" for operator, nodes in [*left.items()][:_SHOWN]]
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return f"{text}; predicted to stay on the CPU: {', '.join(named)}{more}"
