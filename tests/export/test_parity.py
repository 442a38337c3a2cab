import math

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.evaluate.parity import compare_outputs, max_abs_error, sqnr_db, worst

ONES = np.ones(4, np.float32)


def test_equal_outputs_have_no_error_and_infinite_sqnr() -> None:
    parity = compare_outputs({"y": ONES}, {"y": ONES.copy()})
    assert (parity.max_abs_error, parity.sqnr_db, parity.mismatch) == (0.0, math.inf, "")
    assert parity.within(0.0)


def test_names_come_before_shapes_and_shapes_before_values() -> None:
    assert "outputs z instead of y" in compare_outputs({"y": ONES}, {"z": ONES[:2]}).mismatch
    wrong_shape = compare_outputs({"y": ONES}, {"y": ONES[:2] * 9})
    assert wrong_shape.mismatch == "output 'y' is float32[2] instead of float32[4]"
    assert not wrong_shape.within(math.inf)
    assert "float64" in compare_outputs({"y": ONES}, {"y": ONES.astype(np.float64)}).mismatch


def test_the_worst_output_counts() -> None:
    reference = {"a": ONES, "b": 2 * ONES}
    candidate = {"a": ONES + np.float32(0.5), "b": 2 * ONES}
    parity = compare_outputs(reference, candidate)
    assert parity.by_output == {"a": 0.5, "b": 0.0}
    assert parity.max_abs_error == 0.5
    assert parity.sqnr_db == pytest.approx(20 * math.log10(2))
    both = worst([compare_outputs(reference, reference), parity])
    assert (both.max_abs_error, both.by_output) == (0.5, parity.by_output)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_equals_only_itself(odd: float) -> None:
    broken = np.array([1, odd], np.float32)
    assert max_abs_error(broken, broken) == 0.0
    assert max_abs_error(ONES[:2], broken) == math.inf
    assert max_abs_error(broken, ONES[:2]) == math.inf
    assert sqnr_db(ONES[:2], broken) == -math.inf
    assert compare_outputs({"y": broken}, {"y": ONES[:2]}).sqnr_db == -math.inf


def test_integers_do_not_wrap_around_and_strings_differ_by_infinity() -> None:
    assert max_abs_error(np.array([0], np.uint8), np.array([255], np.uint8)) == 255.0
    assert max_abs_error(np.array(["a"]), np.array(["b"])) == math.inf
    assert max_abs_error(np.array([True]), np.array([True])) == 0.0
    assert max_abs_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


def test_sqnr_is_in_decibels() -> None:
    assert sqnr_db(ONES, ONES * np.float32(0.9)) == pytest.approx(20, abs=1e-4)


def test_sqnr_refuses_other_shapes_and_a_silent_reference() -> None:
    with pytest.raises(InputError, match=r"float32\[2\]"):
        sqnr_db(ONES, ONES[:2])
    with pytest.raises(InputError, match="zeros"):
        sqnr_db(0 * ONES, ONES)
