import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import TABULAR
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.training import load_recipe, train


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.py"):
        load_recipe(tmp_path / "nowhere.py")


@pytest.mark.parametrize("source, found", [("x = 1", "none"), ("recipe = 7", "a int")])
def test_a_file_without_a_recipe_says_what_it_should_expose(
    tmp_path: Path, source: str, found: str
) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(source)
    with pytest.raises(InputError, match=found) as caught:
        load_recipe(file)
    assert "recipe = Recipe(...)" in caught.value.expected


@pytest.mark.parametrize(
    "source, message",
    [("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError"), ("import nix", "nix")],
)
def test_a_recipe_that_fails_while_it_is_read_says_why(
    tmp_path: Path, source: str, message: str
) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(source)
    with pytest.raises(InputError, match=message):
        load_recipe(file)


def test_reading_a_recipe_leaves_no_file_beside_it(recipe: Path) -> None:
    load_recipe(recipe)
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["recipe.py", "rows.csv"]


def test_a_missing_package_of_the_extra_names_the_extra(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_torch(name: str, *rest: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(SetupError) as caught:
        train(recipe, tmp_path / "run")
    assert caught.value.fix == "pip install onnx-edge-toolkit[train]"


@pytest.mark.parametrize(
    "change, message",
    [
        (("def load(settings):", "def load(settings):\n    open('nowhere.csv')"), "nowhere.csv"),
        (("tanh(", "tanh(1 / 0 + "), "division by zero"),
        (("nn.Linear(4, 1)", "nn.Linear(4, 3)"), r"float32\[2, 3\]"),
        (("targets = np.array(", "targets = 5 * np.array("), "targets are int64"),
        (("columns=(NumericColumn", "columns=(NumericColumn(name='nix'), NumericColumn"), "nix"),
        (
            ("logits[:, 0], targets.float()", "logits[:, :], targets.float()"),
            r"\(recipe\.py, line \d+",
        ),
        (("FeatureTable(\n        columns=", "dict(\n        columns="), "dict"),
        (('activation="sigmoid"', 'activation="sofmax"'), "'sofmax'"),
        (('name="tabular-classification"', 'name="tabular"'), "'tabular'"),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else value,
)
def test_a_recipe_that_breaks_the_contract_is_told_before_training(
    recipe: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in TABULAR
    recipe.write_text(TABULAR.replace(*change))
    with pytest.raises(InputError, match=message):
        train(recipe, tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe"]


def test_a_loss_that_diverges_ends_the_training(recipe: Path, tmp_path: Path) -> None:
    settings = {"optimizer": "sgd", "learning_rate": 1e30, "l2": 1}
    with pytest.raises(CheckFailedError, match="epoch") as caught:
        train(recipe, tmp_path / "run", settings=settings)
    assert "learning_rate" in caught.value.fix
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe"]


def test_an_accelerator_that_is_not_there_is_a_setup_error(recipe: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SetupError, match="gpu"):
        train(recipe, tmp_path / "run", settings={"accelerator": "gpu"})


def test_importing_the_training_package_loads_no_torch() -> None:
    program = (
        "import sys, toolkit.training; "
        "print([n for n in ('torch', 'pytorch_lightning', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_recipe_object_is_trained_by_the_file_it_stands_in(recipe: Path, tmp_path: Path) -> None:
    train(load_recipe(recipe), tmp_path / "run", settings={"max_epochs": 1})
    assert (tmp_path / "run" / "recipe.py").read_text() == recipe.read_text()
