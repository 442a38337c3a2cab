"""A package of words and data that fit it."""

from pathlib import Path

import pytest

from tests.quantize.packages import write_data, write_words_package
from toolkit.package import ModelPackage


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_words_package(tmp_path / "words.ortpackage")


@pytest.fixture
def data(package: ModelPackage, tmp_path: Path) -> Path:
    return write_data(tmp_path / "data.csv", package.path)
