from pathlib import Path

import pytest

from tests.training.tiny import write_tabular


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_tabular(tmp_path / "recipe")
