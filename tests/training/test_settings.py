from pathlib import Path

import pytest

from tests.training.tiny import weights
from toolkit.errors import InputError
from toolkit.training import Settings, load_recipe, open_run, train
from toolkit.training.settings import with_overrides


def test_typed_text_becomes_the_type_of_the_setting() -> None:
    settings = with_overrides(Settings(), {"learning_rate": "0.5", "folds": "3"})
    assert (settings.learning_rate, settings.folds) == (0.5, 3)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("learning_rate", "0", "> 0"),
        ("optimizer", "lion", "lion"),
        ("batch_size", "2.5", "int"),
        ("dropout", "1", "< 1"),
        ("folds", "1", "at least 2"),
        ("l1", "-1", ">= 0"),
        ("learning_rate", "fast", "float"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        with_overrides(Settings(), {name: value})
    assert name in caught.value.problem
    assert expected in caught.value.problem + caught.value.expected


def test_an_unknown_setting_is_named_with_those_that_exist() -> None:
    with pytest.raises(InputError, match="learning_rte") as caught:
        with_overrides(Settings(), {"learning_rte": 1})
    assert "learning_rate" in caught.value.expected


def test_bad_settings_in_a_recipe_file_are_refused_when_it_is_read(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("learning_rate=0.05", "learning_rate=-1"))
    with pytest.raises(InputError, match="learning_rate"):
        load_recipe(recipe)


@pytest.mark.parametrize(
    "setting",
    [
        {"optimizer": "sgd"},
        {"optimizer": "adamw", "l2": 0.5},
        {"l1": 0.5},
        {"l2": 0.5},
        {"dropout": 0.5},
        {"gradient_clip": 1e-6, "optimizer": "sgd"},
        {"learning_rate": 0.01},
        {"batch_size": 8},
        {"schedule": "exponential"},
        {"schedule": "cosine"},
        {"schedule": "reduce-on-plateau", "plateau_epochs": 0, "learning_rate": 5},
        {"schedule": "linear"},
        {"schedule": "linear", "warmup": 0.5},
        {"average": 0.9},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_setting_changes_the_weights(
    recipe: Path, tmp_path: Path, setting: dict[str, object]
) -> None:
    base = {"learning_rate": setting["learning_rate"]} if len(setting) == 3 else {}
    train(recipe, tmp_path / "base", settings=base)
    train(recipe, tmp_path / "run", settings=setting)
    base_weights, run_weights = weights(tmp_path / "base"), weights(tmp_path / "run")
    assert any((base_weights[name] != run_weights[name]).any() for name in base_weights)


def test_momentum_is_read_by_sgd(recipe: Path, tmp_path: Path) -> None:
    for momentum in (0.0, 0.9):
        train(recipe, tmp_path / f"{momentum}", settings={"optimizer": "sgd", "momentum": momentum})
    still, moving = weights(tmp_path / "0.0"), weights(tmp_path / "0.9")
    assert (still["inner.weight"] != moving["inner.weight"]).any()


def test_the_l1_penalty_shrinks_weights_and_leaves_biases(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", settings={"l1": 10, "max_epochs": 20})
    found = weights(tmp_path / "run")
    assert abs(found["outer.weight"]).max() < 0.3
    assert abs(found["inner.bias"]).max() > 0.1


@pytest.mark.parametrize(
    "schedule, rates",
    [
        ("constant", [0.1, 0.1, 0.1, 0.1]),
        ("exponential", [0.1, 0.05, 0.025, 0.0125]),
        ("cosine", [0.1, 0.0853553, 0.05, 0.0146447]),
        # 48 rows of training in batches of 16 are 3 steps an epoch; the curve has the last one's.
        ("linear", [0.1 * (12 - step) / 12 for step in (2, 5, 8, 11)]),
    ],
)
def test_the_learning_rate_follows_its_schedule(
    recipe: Path, tmp_path: Path, schedule: str, rates: list[float]
) -> None:
    settings = {"schedule": schedule, "learning_rate": 0.1, "decay": 0.5}
    train(recipe, tmp_path / "run", settings=settings)
    lines = (tmp_path / "run" / "curve.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[1]) for line in lines] == pytest.approx(rates, abs=1e-6)


def test_the_linear_schedule_climbs_first(recipe: Path, tmp_path: Path) -> None:
    settings = {"schedule": "linear", "learning_rate": 0.1, "warmup": 0.5}
    train(recipe, tmp_path / "run", settings=settings)
    lines = (tmp_path / "run" / "curve.csv").read_text().splitlines()[1:]
    rates = [float(line.split(",")[1]) for line in lines]
    assert rates == pytest.approx([0.1 * 3 / 7, 0.1 * 6 / 7, 0.1 * 4 / 6, 0.1 * 1 / 6])


def test_a_rate_of_zero_leaves_a_parameter_as_it_was(recipe: Path, tmp_path: Path) -> None:
    set_rate = 'calibrate=calibrate, rate=lambda name, settings: float("inner" not in name),'
    recipe.write_text(recipe.read_text().replace("calibrate=calibrate,", set_rate))
    train(recipe, tmp_path / "one", settings={"max_epochs": 1})
    train(recipe, tmp_path / "two", settings={"max_epochs": 2})
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert (one["inner.weight"] == two["inner.weight"]).all()
    assert (one["outer.weight"] != two["outer.weight"]).any()


def test_training_starts_from_the_weights_that_the_recipe_loads(
    recipe: Path, tmp_path: Path
) -> None:
    load = (
        "def initialize(module, settings):\n    nn.init.constant_(module.outer.weight, 7)\n\n\n"
        "recipe = Recipe(\n    initialize=initialize,"
    )
    recipe.write_text(recipe.read_text().replace("recipe = Recipe(", load))
    train(recipe, tmp_path / "run", settings={"max_epochs": 1, "learning_rate": 1e-6})
    assert weights(tmp_path / "run")["outer.weight"] == pytest.approx(7, abs=1e-3)
    # Exporting builds the model again; what was loaded then stands in the run.
    rebuilt = open_run(tmp_path / "run").module().state_dict()["outer.weight"]
    assert rebuilt.numpy() == pytest.approx(7, abs=1e-3)


def test_fast_is_the_recipes_word_and_a_setting_that_is_given_comes_first(
    recipe: Path, tmp_path: Path
) -> None:
    hurried = 'recipe = Recipe(\n    fast={"max_epochs": 1, "batch_size": 8},'
    recipe.write_text(recipe.read_text().replace("recipe = Recipe(", hurried))
    train(recipe, tmp_path / "run", fast=True, settings={"batch_size": 4})
    record = open_run(tmp_path / "run").record
    assert (record.epochs, record.settings["batch_size"]) == (1, 4)
    assert train(recipe, tmp_path / "slow").epochs == 4


def test_fast_without_such_settings_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hurry"):
        train(recipe, tmp_path / "run", fast=True)


def test_the_plateau_schedule_waits_before_it_lowers_the_rate(recipe: Path, tmp_path: Path) -> None:
    # A learning rate this small leaves the loss where it is, to within its least digit.
    settings = {
        "schedule": "reduce-on-plateau",
        "learning_rate": 1e-12,
        "plateau_epochs": 1,
        "decay": 0.5,
    }
    train(recipe, tmp_path / "run", settings=settings)
    lines = (tmp_path / "run" / "curve.csv").read_text().splitlines()[1:]
    rates = [float(line.split(",")[1]) for line in lines]
    assert rates == pytest.approx([1e-12, 1e-12, 1e-12, 5e-13])


def test_training_stops_when_patience_is_over_and_keeps_the_best_epoch(
    recipe: Path, tmp_path: Path
) -> None:
    settings = {"patience": 2, "max_epochs": 50, "learning_rate": 1.0}
    report = train(recipe, tmp_path / "run", settings=settings)
    assert report.epochs == report.best_epoch + 2 < 50


def test_folds_are_reported_with_mean_and_spread(recipe: Path, tmp_path: Path) -> None:
    report = train(recipe, tmp_path / "run", settings={"folds": 3, "max_epochs": 1})
    folds = report.cross_validation
    assert folds is not None
    assert (folds.metric, len(folds.values)) == ("accuracy", 3)
    assert min(folds.values) <= folds.mean <= max(folds.values)
    assert open_run(tmp_path / "run").record.cross_validation == folds


def test_dropout_that_no_layer_reads_is_refused(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(recipe.read_text().replace("nn.Dropout(settings.dropout)", "nn.Identity()"))
    with pytest.raises(InputError, match="dropout"):
        train(recipe, tmp_path / "run")


def test_threads_are_as_asked_while_training_and_as_before_afterwards(
    recipe: Path, tmp_path: Path
) -> None:
    import torch

    before = torch.get_num_threads()
    seen: set[int] = set()
    train(
        recipe,
        tmp_path / "run",
        settings={"threads": before + 1},
        progress=lambda _state: seen.add(torch.get_num_threads()),
    )
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


def test_a_word_that_is_no_choice_lists_the_choices() -> None:
    with pytest.raises(InputError) as refused:
        with_overrides(Settings(), {"optimizer": "rmsprop"})
    assert refused.value.expected == "one of sgd, adam, adamw"
