"""`toolkit train`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import compression, output
from toolkit.cli.options import ForceOption, JsonOption, QuietOption, pairs

if TYPE_CHECKING:
    from toolkit.training import Progress, TrainReport
    from toolkit.training.progress import ProgressCallback


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe's Python file.", show_default=False)],
    *,
    run: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="The run directory to write.", show_default="runs/FOLDER"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the recipe; may be repeated.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="The setting seed.", show_default="the recipe's"),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="The recipe's own settings for a run in a hurry.")
    ] = False,
    distill: compression.DistillOption = None,
    distill_temperature: compression.TemperatureOption = None,
    distill_weight: compression.WeightOption = None,
    prune: compression.PruneOption = 0.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training.")
    ] = False,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat", help="Train on with 8-bit rounding, and keep that model beside the float one."
        ),
    ] = False,
    origin: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="With --qat: an earlier run, whose float model is taken.",
            metavar="RUN",
            show_default="trains one",
        ),
    ] = None,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a recipe and write a run directory."""
    from toolkit import training

    target = run or Path("runs") / recipe.resolve().parent.name
    chosen = pairs(settings, option="--set")
    teaching = compression.distillation_from(distill, distill_temperature, distill_weight)
    if force and target.exists():
        output.say(f"{target} will be replaced")
    try:
        with _progress(quiet=quiet) as progress:
            report = training.train(
                recipe,
                target,
                settings=chosen,
                seed=seed,
                fast=fast,
                resume=resume,
                force=force,
                distillation=teaching,
                prune=prune,
                qat=qat,
                origin=origin,
                progress=progress,
            )
    except KeyboardInterrupt:
        if training.is_resumable(target):
            output.say("the same command with --resume goes on after the last whole epoch")
        raise
    _show(report, as_json=json_output)


def train_file(file: str) -> None:
    """Do what `toolkit train FILE` does with this process's arguments: a recipe's own command."""
    from toolkit.cli.main import main

    sys.exit(main(["train", file, *sys.argv[1:]]))


def _show(report: "TrainReport", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        output.show_json(msgspec.to_builtins(report, enc_hook=str))
        return
    quantized = {f"{split}, int8": scores for split, scores in (report.quantized or {}).items()}
    rows = [
        (split, metric, _number(e.value), " to ".join(map(_number, e.interval_95)), e.n)
        for split, scores in (*report.metrics.items(), *quantized.items())
        for metric, e in scores.metrics.items()
    ]
    note = f"{report.epochs} epochs, weights of epoch {report.best_epoch}, {report.seconds:.1f} s"
    if report.qat_epochs:
        note += f"\nand {report.qat_epochs} epochs of quantization-aware training (int8)"
    folds = report.cross_validation
    if folds is not None:
        count = len(folds.values)
        which = " of the float model" if report.qat_epochs else ""
        note += (
            f"\n{count} folds{which}: {folds.metric} {folds.mean:.4f}, spread {folds.spread:.4f}"
        )
    note = "\n".join([note, *compression.notes(report)])
    columns = ("split", "metric", "value", "95 % interval", "n")
    output.show_table(str(report.run), columns, rows, note=note)


@contextmanager
def _progress(*, quiet: bool) -> Iterator["ProgressCallback | None"]:
    """A bar on stderr, which a terminal redraws; in a file, a line an epoch."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich import progress as rich
    from rich.console import Console

    text, elapsed = rich.TextColumn("{task.description}"), rich.TimeElapsedColumn()
    with rich.Progress(
        text, rich.BarColumn(), elapsed, console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("starting", total=None)

        def report(state: "Progress") -> None:
            done = (state.epoch - 1) * state.batches + state.batch
            bar.update(
                task,
                description=f"{state.phase}: epoch {state.epoch} of {state.epochs}",
                completed=done,
                total=state.epochs * state.batches,
            )

        yield report


def _lines(state: "Progress") -> None:
    if state.batch == 1:
        output.say(f"{state.phase}: epoch {state.epoch} of {state.epochs}{_last(state)}")


def _last(state: "Progress") -> str:
    """The losses and the metric of the epoch before."""
    shown = [name for name in state.figures if name not in {"epoch", "learning_rate"}]
    figures = ", ".join(f"{name} {state.figures[name]:.4g}" for name in shown)
    return f" (epoch {state.epoch - 1}: {figures})" if figures else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
