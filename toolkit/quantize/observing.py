"""Ranges of activations, measured on a stream of batches.

onnxruntime's calibrators keep what every batch gave until the last one was run, and put batches of
different shapes into one array. Here each batch is collected by itself: the memory that it takes
does not grow with the sample, and batches may be ragged.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from toolkit.quantize.context import QuantizerError, contained
from toolkit.tensors import Feeds

RangeMethod = Literal["minmax", "percentile", "entropy"]

PERCENTILE = 99.99
"""Share of the values, in percent, that a percentile range holds."""

Ranges = dict[str, tuple[Any, Any]]
"""Lowest and highest value by tensor, as float32 scalars of numpy."""


def observed_ranges(
    model: Path,
    feeds: Iterable[Feeds],
    method: RangeMethod,
    *,
    symmetric: bool,
    operators: Sequence[str],
) -> Ranges:
    """Ranges of the activations that some operators read and make.

    Args:
        model: The float32 model.
        feeds: Run one after the other, each forgotten before the next one is asked for.
        method: "minmax" takes all values; "percentile" leaves `PERCENTILE` of them; "entropy"
            takes the range whose quantized histogram is closest to the true one.
        symmetric: Ranges reach as far below 0 as above.
        operators: Types of operators.

    Raises:
        QuantizerError: onnxruntime gave up on the graph, or there are no feeds.

    Source: onnxruntime.quantization.calibrate (1.31), whose calibrators do the measuring.
    """
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    kinds = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    extra: dict[str, object] = {"symmetric": symmetric}
    if method == "percentile":
        extra["percentile"] = PERCENTILE
    with tempfile.TemporaryDirectory() as folder, contained():
        calibrator = create_calibrator(
            model,
            [*operators],
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=kinds[method],
            extra_options=extra,
        )
        count = 0
        for one in feeds:
            calibrator.collect_data(_Once(one))
            count += 1
        if not count:
            raise QuantizerError("there are no calibration samples")
        found = calibrator.compute_data()
    return {name: found[name].range_value for name in found}


class _Once:
    """A reader of a single batch, as onnxruntime's calibrators take one."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds: Feeds | None = feeds

    def get_next(self) -> Feeds | None:
        feeds, self._feeds = self._feeds, None
        return feeds
