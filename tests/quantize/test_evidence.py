"""Data that can show little is warned of, and taken."""

import warnings
from pathlib import Path

import pytest

from tests.quantize.packages import write_data
from toolkit.errors import ToolkitWarning
from toolkit.package import ModelPackage
from toolkit.quantize import Limits, quantize


def test_few_samples_are_warned_of(package: ModelPackage, tmp_path: Path) -> None:
    data = write_data(tmp_path / "few.csv", package.path, rows=20)
    with pytest.warns(ToolkitWarning, match=r"20 samples prove little.* 0 to 16\.1%"):
        report = quantize(package.path, data, methods=["weight-only"], limits=Limits(max_drop=1.0))
    assert report.chosen


def test_a_parent_that_guesses_is_warned_of(package: ModelPackage, tmp_path: Path) -> None:
    data = write_data(tmp_path / "wrong.csv", package.path, rows=60, wrong=40)
    with pytest.warns(ToolkitWarning, match="fp32 has an accuracy of 0.3333 .* not above chance"):
        report = quantize(package.path, data, methods=["weight-only"], limits=Limits(max_drop=1.0))
    assert report.chosen


def test_enough_data_is_not_warned_of(package: ModelPackage, tmp_path: Path) -> None:
    data = write_data(tmp_path / "enough.csv", package.path, rows=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(package.path, data, methods=["weight-only"], limits=Limits(max_drop=1.0))
