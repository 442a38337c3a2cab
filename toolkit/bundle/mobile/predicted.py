"""What a phone's execution providers would take of the graph: predicted, never placed."""

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from toolkit.bundle.job import Job
from toolkit.compiling.prepared import prepare
from toolkit.inspection.coverage import Prediction, predict

_SHOWN = 6


def predictions(job: Job, names: Sequence[str]) -> Sequence[Prediction]:
    """Predictions for the graph of a bundle, by its providers' names in reports.

    Args:
        job: The bundle that is made, with a size for each symbolic dimension.
        names: The providers, such as "nnapi" and "coreml MLProgram".
    """
    model = job.package.verified(job.variant)
    found = {one.name: one for one in _predictions(model, tuple(job.options.fix_shapes.items()))}
    return [found[name] for name in names]


@lru_cache(maxsize=1)  # asked for the README, and again for the report
def _predictions(model: Path, sizes: tuple[tuple[str, int], ...]) -> Sequence[Prediction]:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "model.onnx"
        prepare(model, prepared, dict(sizes))
        return predict(prepared)


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
