from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import weights
from toolkit.errors import InputError
from toolkit.training import Progress, train
from toolkit.training.progress import ProgressCallback

SETTINGS = {
    "max_epochs": 5,
    "schedule": "reduce-on-plateau",
    "plateau_epochs": 0,
    "learning_rate": 1.0,
}


def stop_at(epoch: int, error: BaseException, *, phase: str = "training") -> ProgressCallback:
    def progress(state: Progress) -> None:
        if (state.phase, state.epoch, state.batch) == (phase, epoch, 2):
            raise error

    return progress


def interrupted(
    recipe: Path, run: Path, stop: ProgressCallback, settings: Mapping[str, object]
) -> None:
    with pytest.raises((KeyboardInterrupt, MemoryError)):
        train(recipe, run, settings=settings, progress=stop)
    assert not run.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.1},
        {"optimizer": "adamw", "schedule": "exponential", "patience": 3},
        {"folds": 2, "max_epochs": 3},
        {"schedule": "linear", "warmup": 0.4, "average": 0.9},
    ],
    ids=str,
)
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    recipe: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = SETTINGS | changes
    whole = train(recipe, tmp_path / "whole", settings=settings)
    run = tmp_path / "run"
    interrupted(recipe, run, stop_at(3, KeyboardInterrupt()), settings)
    report = train(recipe, run, settings=settings, resume=True)
    assert report.resumed
    assert (report.epochs, report.best_epoch) == (whole.epochs, whole.best_epoch)
    assert report.cross_validation == whole.cross_validation
    expected, found = weights(tmp_path / "whole"), weights(run)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    curves = [(path / "curve.csv").read_text() for path in (tmp_path / "whole", run)]
    assert curves[0] == curves[1]


def test_a_training_stopped_in_its_first_epoch_and_in_a_fold_resumes_too(
    recipe: Path, tmp_path: Path
) -> None:
    settings = {"folds": 2, "max_epochs": 2}
    whole = train(recipe, tmp_path / "whole", settings=settings)
    run = tmp_path / "run"
    stop = stop_at(1, KeyboardInterrupt(), phase="fold 2 of 2")
    interrupted(recipe, run, stop, settings)
    seen: set[tuple[str, int]] = set()
    report = train(
        recipe,
        run,
        settings=settings,
        resume=True,
        progress=lambda state: seen.add((state.phase, state.epoch)),
    )
    assert ("fold 1 of 2", 1) not in seen
    assert report.cross_validation == whole.cross_validation


def test_a_crash_leaves_what_can_be_resumed_and_nothing_once_it_was(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "tiny"
    interrupted(recipe, run, stop_at(2, MemoryError()), SETTINGS)
    assert [path.name for path in run.parent.iterdir()] == [".tiny.partial"]
    train(recipe, run, settings=SETTINGS, resume=True)
    assert [path.name for path in run.parent.iterdir()] == ["tiny"]


def test_an_unfinished_training_is_never_thrown_away_unasked(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(recipe, run, stop_at(2, KeyboardInterrupt()), SETTINGS)
    with pytest.raises(InputError, match="unfinished") as caught:
        train(recipe, run, settings=SETTINGS)
    assert "--resume" in caught.value.fix
    train(recipe, run, settings=SETTINGS, force=True)
    assert not (tmp_path / ".run.partial").exists()


def test_resuming_with_another_recipe_or_other_settings_is_refused(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    interrupted(recipe, run, stop_at(2, KeyboardInterrupt()), SETTINGS)
    with pytest.raises(InputError, match="batch_size") as caught:
        train(recipe, run, settings=SETTINGS | {"batch_size": 8}, resume=True)
    assert "16" in caught.value.expected
    recipe.write_text(recipe.read_text() + "\n# changed\n")
    with pytest.raises(InputError, match="another version"):
        train(recipe, run, settings=SETTINGS, resume=True)


def test_resuming_what_was_never_started_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unfinished training"):
        train(recipe, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_control_c_still_works_after_an_interrupted_training(recipe: Path, tmp_path: Path) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    interrupted(recipe, tmp_path / "run", stop_at(1, KeyboardInterrupt()), SETTINGS)
    assert signal.getsignal(signal.SIGINT) is before
