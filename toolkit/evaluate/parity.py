"""Whether two graphs compute the same: names, then dtypes and shapes, then values."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from toolkit.errors import InputError
from toolkit.tensors import Array, describe


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How close a candidate's outputs are to the reference's.

    Attributes:
        max_abs_error: The largest absolute difference; infinity where the outputs cannot be
            compared, or one has a NaN or infinity that the other has not.
        sqnr_db: The least signal-to-quantization-noise ratio of the outputs; infinity when equal.
        mismatch: The first name, dtype or shape that differs; empty where values were compared.
        by_output: The largest absolute difference of each output.
    """

    max_abs_error: float
    sqnr_db: float
    mismatch: str = ""
    by_output: Mapping[str, float] = field(default_factory=dict)

    def within(self, limit: float) -> bool:
        """Whether the outputs could be compared and differ by at most `limit`."""
        return not self.mismatch and self.max_abs_error <= limit

    def __str__(self) -> str:
        return self.mismatch or f"max abs error {self.max_abs_error:.3g}"


def compare_outputs(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> Parity:
    """Compare outputs by name: names, then dtypes and shapes, then values.

    Comparing stops at the first kind that differs, which the report then names: values of tensors
    of two shapes mean nothing. Values that are not numbers differ by 0 or by infinity.

    Args:
        reference: Outputs of the model that is right by definition.
        candidate: Outputs of the model under test, for the same feeds.
    """
    mismatch = _mismatch(reference, candidate)
    if mismatch:
        return Parity(max_abs_error=math.inf, sqnr_db=-math.inf, mismatch=mismatch)
    errors = {name: max_abs_error(reference[name], candidate[name]) for name in reference}
    ratios = [_ratio_db(reference[name], candidate[name]) for name in reference]
    return Parity(
        max_abs_error=max(errors.values(), default=0.0),
        sqnr_db=min(ratios, default=math.inf),
        by_output=errors,
    )


def worst(reports: Iterable[Parity]) -> Parity:
    """The report of several comparisons together; equality when there are none."""
    listed = list(reports)
    by_output: dict[str, float] = {}
    for report in listed:
        for name, error in report.by_output.items():
            by_output[name] = max(error, by_output.get(name, 0.0))
    return Parity(
        max_abs_error=max((report.max_abs_error for report in listed), default=0.0),
        sqnr_db=min((report.sqnr_db for report in listed), default=math.inf),
        mismatch=next((report.mismatch for report in listed if report.mismatch), ""),
        by_output=by_output,
    )


def max_abs_error(reference: Array, candidate: Array) -> float:
    """The largest absolute difference of two arrays; 0 for empty ones.

    NaN against NaN and infinity against the same infinity count as equal; against anything else
    they differ by infinity.

    Args:
        reference: number[...], or strings or booleans, which differ by 0 or by infinity.
        candidate: The same shape.

    Raises:
        InputError: The shapes differ.
    """
    _check_shapes(reference, candidate)
    if reference.dtype.kind not in "fiu" or candidate.dtype.kind not in "fiu":
        return 0.0 if np.array_equal(reference, candidate) else math.inf
    one, other = reference.astype(np.float64), candidate.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    difference = np.abs(one[~same] - other[~same])
    if not difference.size:
        return 0.0
    return float(difference.max()) if np.isfinite(difference).all() else math.inf


def sqnr_db(reference: Array, candidate: Array) -> float:
    """Signal-to-quantization-noise ratio of `candidate`, in decibels; higher is closer.

    Args:
        reference: float32[...], outputs of the FP32 model; not all zeros.
        candidate: float32[...], same shape, outputs of the quantized model.

    Returns:
        20·log10(‖reference‖ / ‖reference - candidate‖); infinity when they are equal, and minus
        infinity when the difference is not finite.

    Raises:
        InputError: The shapes differ, or `reference` is all zeros.

    Source: onnxruntime.quantization.qdq_loss_debug (1.31), which clamps equal inputs to machine
        epsilon.
    """
    _check_shapes(reference, candidate)
    signal = float(np.linalg.norm(reference.astype(np.float64)))
    if signal == 0.0:
        raise InputError(
            "the reference is all zeros, so noise has nothing to be compared with",
            expected="reference outputs that are not all zeros",
        )
    noise = float(np.linalg.norm(reference.astype(np.float64) - candidate.astype(np.float64)))
    if noise == 0.0:
        return math.inf
    is_finite = math.isfinite(signal) and math.isfinite(noise)
    return 20.0 * math.log10(signal / noise) if is_finite else -math.inf


def _ratio_db(reference: Array, candidate: Array) -> float:
    """`sqnr_db` for any pair of outputs: equal is infinity, no ratio is minus infinity."""
    if max_abs_error(reference, candidate) == 0.0:
        return math.inf
    numeric = reference.dtype.kind in "fiu" and np.isfinite(reference).all() and reference.any()
    return sqnr_db(reference, candidate) if numeric else -math.inf


def _mismatch(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> str:
    if reference.keys() != candidate.keys():
        return f"outputs {', '.join(candidate)} instead of {', '.join(reference)}"
    for name in reference:
        if describe(reference[name]) != describe(candidate[name]):
            found, wanted = describe(candidate[name]), describe(reference[name])
            return f"output {name!r} is {found} instead of {wanted}"
    return ""


def _check_shapes(reference: Array, candidate: Array) -> None:
    if reference.shape != candidate.shape:
        raise InputError(
            f"a candidate {describe(candidate)} cannot be compared with {describe(reference)}",
            expected="the same shape",
        )
