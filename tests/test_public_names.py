"""What `from toolkit import ...` offers."""

import importlib
from types import ModuleType

import pytest

import toolkit


def test_every_public_name_is_offered_and_no_module_is() -> None:
    for name in toolkit.__all__:
        assert not isinstance(getattr(toolkit, name), ModuleType), name
    assert sorted(toolkit.__all__) == toolkit.__all__


@pytest.mark.parametrize("name", ["export", "optimize", "quantize", "evaluate"])
def test_a_function_stays_one_after_its_folder_was_imported(name: str) -> None:
    importlib.import_module(f"toolkit.{name}")
    assert callable(getattr(toolkit, name))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'magic'"):
        toolkit.magic  # noqa: B018
