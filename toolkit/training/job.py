"""`train`: from a recipe to a run directory."""

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.errors import CheckFailedError, InputError, ToolkitError
from toolkit.library_noise import quiet_torchao
from toolkit.package.write import replacing
from toolkit.training.distillation import Distillation, DistillationRecord, Teacher
from toolkit.training.metrics import FoldScores, Scores
from toolkit.training.partial import QAT, State, open_partial
from toolkit.training.progress import ProgressCallback
from toolkit.training.pruning import PruningRecord, check_share
from toolkit.training.recipe import AnyRecipe, Recipe, load_recipe, missing_extra, recipe_file
from toolkit.training.run import RECIPE_FILE, RUN_FILE, WEIGHTS_FILE, Run, open_run
from toolkit.training.settings import Settings, with_overrides

FURTHER = frozenset(
    {
        "average",
        "batch_size",
        "decay",
        "gradient_clip",
        "l1",
        "l2",
        "learning_rate",
        "momentum",
        "optimizer",
        "plateau_epochs",
        "qat_epochs",
        "qat_rate",
        "rows",
        "schedule",
        "threads",
        "warmup",
    }
)
"""Settings that may be others where training goes on from a run: those that say how it goes on.
`rows` is how our recipes call the number of training rows. What is left made the model or the
splits (another seed may train on rows that the run was tested on), or is read no more."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a training came to.

    Attributes:
        run: The run directory.
        name: The recipe's name.
        metrics: Scores of the float model by split: "validation" and "test".
        cross_validation: The main metric over the folds, where there were any.
        epochs: Epochs that ran.
        best_epoch: The one whose weights were kept, from 1.
        seconds: Of all sittings together.
        resumed: An interrupted training was continued.
        distillation: The teacher, where there was one.
        pruning: The zeros, where weights were pruned.
        quantized: Scores of the quantized model by split; None without quantization-aware training.
        qat_epochs: Epochs of that training.
    """

    run: Path
    name: str
    metrics: Mapping[str, Scores]
    cross_validation: FoldScores | None
    epochs: int
    best_epoch: int
    seconds: float
    resumed: bool
    distillation: DistillationRecord | None = None
    pruning: PruningRecord | None = None
    quantized: Mapping[str, Scores] | None = None
    qat_epochs: int = 0


def train(
    recipe: AnyRecipe | Path | str,
    output: Path,
    *,
    settings: Mapping[str, object] | None = None,
    seed: int | None = None,
    fast: bool = False,
    resume: bool = False,
    force: bool = False,
    distillation: Distillation | None = None,
    prune: float = 0.0,
    qat: bool = False,
    origin: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainReport:
    """Train a recipe and write its run directory.

    Checkpoints lie in the hidden folder `.<output>.partial` until the run is written, so that a
    training that was stopped at any point can be resumed.

    Args:
        recipe: A recipe, or the file that exposes one.
        output: The run directory to write.
        settings: Overrides of the recipe's settings by name; text is converted.
        seed: Overrides the setting of that name.
        fast: Train in a hurry, with the settings that the recipe names for it; `settings` and
            `seed` still come first.
        resume: Go on with an interrupted training of the same recipe and settings.
        force: Replace a run that stands at `output`, and an unfinished training too.
        distillation: Whose answers to learn from beside the labels. The teacher reads the training
            items once, before the first model is trained.
        prune: Share of the weights, from 0 to 0.95, that training sets to zero.
        qat: Train on with 8-bit rounding in the graph (quantization-aware training) and keep that
            model beside the float one; the settings `qat_epochs` and `qat_rate` are for it.
        origin: With `qat`, a run of the same recipe whose float model is taken instead of training
            one. `settings` and `fast` then change that run's, and may change nothing but `FURTHER`.
        progress: Is told about every batch.

    Raises:
        InputError: The recipe, its data, a setting or the teacher is not usable, or `output` is
            not empty; with `force`, not empty and no run.
        SetupError: A package of the extra `train` is missing.
        CheckFailedError: The loss became infinite or NaN. With `qat`, the float training is then
            kept beside the run, and `resume` goes on from it with other values of `qat_rate`.
    """
    started = time.perf_counter()
    output = Path(output)
    _check_output(output)
    file = recipe_file(recipe) if isinstance(recipe, Recipe) else Path(recipe)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(file)
    if fast and not recipe.fast:
        raise InputError(
            f"recipe {recipe.name!r} names no settings for a run in a hurry",
            expected="`fast={setting: value}` in its Recipe",
            fix="leave out --fast, or name settings with --set",
        )
    start = None if origin is None else _start(origin, file, qat=qat)
    hurried = dict(recipe.fast) if fast else {}
    overrides = hurried | dict(settings or {}) | ({} if seed is None else {"seed": seed})
    defaults = recipe.settings
    if start is not None:
        defaults = with_overrides(defaults, start.record.settings)
    chosen = with_overrides(defaults, overrides)
    if start is not None:
        _check_further(start, chosen)
    check_share(prune)
    if qat and (distillation is not None or prune):
        raise InputError(
            f"--qat trains on after a {'pruning' if prune else 'distillation'}, not with it",
            expected="two steps, of which the second one holds the zeros of the first"
            if prune
            else "two steps",
            fix="train without --qat, and then with --qat --from RUN",
        )
    teacher = None if distillation is None else Teacher(distillation, recipe.task)
    taught = None if teacher is None else teacher.record
    try:
        with quiet_torchao():
            from toolkit.training.fitting import fit_recipe, load_data
            from toolkit.training.qat import QatJob, add_quantized, check_quantizable, copy_float
            from toolkit.training.writing import write_run
    except ImportError as error:
        raise missing_extra(error) or error from error

    source = file.read_bytes()
    state = State(
        recipe_sha256=hashlib.sha256(source).hexdigest(),
        settings=msgspec.to_builtins(chosen),
        origin="" if start is None else start.record.files[WEIGHTS_FILE],
        options=_options(taught, prune, qat=qat),
    )
    with replacing(output, force=force) as staging:
        folder = open_partial(output, state, resume=resume, force=force)
        try:
            if start is None:
                fitted = fit_recipe(
                    recipe,
                    chosen,
                    folder,
                    progress,
                    check=check_quantizable if qat else None,
                    teacher=teacher,
                    prune=prune,
                )
                record = write_run(
                    staging,
                    recipe=recipe,
                    settings=chosen,
                    source=source,
                    fitted=fitted,
                    started=started,
                    distillation=taught,
                    prune=prune,
                )
                data = fitted.data
            else:
                record, data = copy_float(start, staging), load_data(recipe, chosen)
            if qat:
                job = QatJob(
                    recipe=recipe,
                    settings=chosen,
                    data=data,
                    folder=folder / QAT,
                    progress=progress,
                )
                record = add_quantized(staging, record, job)
        except ToolkitError as error:
            # Going on with it would end the same way. A float training that has ended well is kept.
            diverged = isinstance(error, CheckFailedError) and (folder / QAT).is_dir()
            shutil.rmtree(folder / QAT if diverged else folder)
            raise
    shutil.rmtree(folder)
    return TrainReport(
        run=output,
        name=record.name,
        metrics=record.metrics,
        cross_validation=record.cross_validation,
        epochs=record.epochs,
        best_epoch=record.best_epoch,
        seconds=record.seconds,
        resumed=resume,
        distillation=record.distillation,
        pruning=record.pruning,
        quantized=None if record.qat is None else record.qat.metrics,
        qat_epochs=0 if record.qat is None else record.qat.epochs,
    )


def _options(taught: DistillationRecord | None, prune: float, *, qat: bool) -> dict[str, object]:
    """What a resumed training must have been started with, by the names of the options."""
    options: dict[str, object] = {"prune": prune} if prune else {}
    if qat:
        options["qat"] = True
    if taught is not None:
        options["distill"] = f"{taught.teacher}, {taught.variant}, sha256 {taught.sha256}"
        options["distill-temperature"] = taught.temperature
        options["distill-weight"] = taught.weight
    return options


def _start(origin: Path, recipe: Path, *, qat: bool) -> Run:
    """The run to go on from."""
    if not qat:
        raise InputError(
            f"nothing is to be done with the run {origin}",
            expected="--from together with --qat",
            fix="leave out --from, or pass --qat",
        )
    run = open_run(origin)
    found = hashlib.sha256(recipe.read_bytes()).hexdigest()
    if found != run.recipe_sha256:
        raise InputError(
            f"{origin} was trained by another version of the recipe {recipe}",
            expected=f"sha256 {run.recipe_sha256}, found {found}",
            fix=f"toolkit train {origin / RECIPE_FILE} --qat --from {origin} -o RUN",
        )
    return run


def _check_further(start: Run, chosen: Settings) -> None:
    """Refuse another value of what made the float model or its data."""
    for name, value in msgspec.to_builtins(chosen).items():
        before = start.record.settings.get(name, value)
        if value != before and name not in FURTHER:
            raise InputError(
                f"setting {name!r} is {value!r}, but {start.path} was trained with {before!r}",
                expected=f"with --from, other values only of {', '.join(sorted(FURTHER))}",
                fix=f"leave {name} as it was, or train a new model: leave out --from",
            )


def _check_output(output: Path) -> None:
    """`force` replaces runs; a mistyped folder of something else it leaves alone."""
    is_other = output.is_dir() and any(output.iterdir()) and not (output / RUN_FILE).is_file()
    if is_other:
        raise InputError(
            f"{output} is not empty and no run, so it will not be replaced",
            expected="a path that does not exist yet, or a run and --force",
            fix=f"-o {output}-run",
        )
