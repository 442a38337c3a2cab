"""The whole way on shipped data: every command as a user would type it."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import InputError, SetupError, ToolkitError

TEXTS = ("a gorgeous, witty film", "a dull and lifeless mess")
METHODS = ("rowwise", "weight-only")
"""What `quantize` tries: all of its methods would take a minute more."""

HURRY = ("max_epochs=3", "learning_rate=0.002")
"""Within a point of the full training in half the time (models/sentiment_lstm/README.md)."""


@dataclass(frozen=True, kw_only=True)
class DemoStep:
    """One command of the demo.

    Attributes:
        command: What a user types to do the same.
        seconds: How long it took, the start of the process included.
        result: The document that it printed.
    """

    command: str
    seconds: float
    result: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the demo did.

    Attributes:
        steps: The commands in order.
        variants: A row a variant: name, size, test accuracy, latency beside fp32's.
        seconds: All together.
    """

    steps: tuple[DemoStep, ...]
    variants: tuple[Mapping[str, Any], ...]
    seconds: float


def demo(
    output: Path, *, force: bool, show: Callable[[DemoStep | str], None] = lambda _step: None
) -> DemoReport:
    """Train, export, quantize, validate, run, profile and evaluate a text classifier.

    Args:
        output: A directory for the run and the package.
        force: Replace what an earlier demo left there.
        show: Called with a command before it runs, and with the step when it is done.

    Raises:
        InputError: The directory holds something and `force` is not given.
        SetupError: The shipped recipe is missing.
        ToolkitError: A command failed; its own message stands on stderr.
    """
    if output.exists() and any(output.iterdir()) and not force:
        raise InputError(f"{output} is not empty", fix="pass --force to replace it, or another -o")
    recipe = _short(_shipped("sentiment_lstm"))
    data = str(recipe.parent / "movie_reviews.csv.gz")
    run, package = str(output / "run"), str(output / "sentiment.ortpackage")
    replace = ["--force"] if force else []
    began = time.monotonic()
    steps: list[DemoStep] = []

    def step(*arguments: str) -> Mapping[str, Any]:
        steps.append(_run(arguments, show))
        return steps[-1].result

    output.mkdir(parents=True, exist_ok=True)
    hurry = [word for setting in HURRY for word in ("--set", setting)]
    step("train", str(recipe), "-o", run, *hurry, *replace)
    step("export", run, "-o", package, *replace)
    tuned = step(
        *("quantize", package, "--data", data, "--where", "split=validation"),
        *(word for method in METHODS for word in ("--only", method)),
    )
    step("validate", package)
    step("infer", package, *TEXTS)
    step("profile", package, "--runs", "300")
    scores = {
        variant: step(
            *("evaluate", package, "--data", data, "--where", "split=test", "--variant", variant)
        )
        for variant in ("fp32", str(tuned["chosen"]))
    }
    rows = [_row("fp32", tuned["parent"], scores), *_kept(tuned, scores)]
    return DemoReport(steps=tuple(steps), variants=tuple(rows), seconds=time.monotonic() - began)


def _kept(
    tuned: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        _row(candidate["variant"], candidate, scores)
        for candidate in tuned["candidates"]
        if candidate["kept"]
    ]


def _row(
    name: str, candidate: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "variant": name,
        "method": candidate["method"],
        "size_bytes": candidate["size_bytes"],
        "accuracy": scores[name]["metrics"]["accuracy"],
        "latency_ms": candidate["latency_ms"],
        "latency_ratio": candidate["latency_ratio"],
        "latency_ratio_95": candidate["latency_ratio_95"],
    }


def _run(arguments: tuple[str, ...], show: Callable[[DemoStep | str], None]) -> DemoStep:
    command = shlex.join(["toolkit", *arguments])
    show(command)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *arguments, "--json"],
        stdout=subprocess.PIPE,
        check=False,
        encoding="utf-8",
    )
    if done.returncode:
        raise _failure(command, done.returncode)
    step = DemoStep(
        command=command, seconds=time.monotonic() - began, result=json.loads(done.stdout)
    )
    show(step)
    return step


def _failure(command: str, code: int) -> ToolkitError:
    kinds = {kind.exit_code: kind for kind in ToolkitError.__subclasses__()}
    kind = kinds.get(code, ToolkitError)
    return kind(f"the demo stopped: '{command}' ended with exit code {code}", fix=command)


def _short(path: Path) -> Path:
    """The path as a user in this directory types it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _shipped(name: str) -> Path:
    """A recipe in the source tree, or in an installed wheel, which carries `models` inside."""
    here = Path(__file__).parent
    for models in (here.parent / "models", here / "models"):
        recipe = models / name / "recipe.py"
        if recipe.is_file():
            return recipe
    raise SetupError(
        f"the shipped recipe {name!r} is missing from this installation",
        fix="pip install --force-reinstall onnx-edge-toolkit",
    )
