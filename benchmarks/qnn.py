"""`python -m benchmarks.qnn [--minilm CHECKPOINT]`: compiled for a chip, on QNN's simulator.

Models of the recipes, trained here, and a fine-tuned MiniLM where one is given: each is compiled as
`toolkit compile` does, and its answers to test samples are compared with the CPU's at the same
sizes. The simulator computes what the chip does, and says nothing of its speed. Writes
benchmarks/qnn.md.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from toolkit.compiling import Compiled
from toolkit.compiling import compile as compile_package
from toolkit.compiling.step import PRECISIONS, Precision
from toolkit.errors import ToolkitError
from toolkit.evaluate.samples import SampleOptions
from toolkit.machine import this_machine
from toolkit.runtime.placement import operators_text

RESULTS = Path(__file__).with_name("qnn.md")
MODELS = Path(__file__).parents[1] / "models"
REVIEWS = MODELS / "sentiment_lstm" / "movie_reviews.csv.gz"
TEST = {"split": "test"}
TOKENS = 64

HEAD = """# QNN on its simulator

`python -m benchmarks.qnn --minilm CHECKPOINT` writes this file. Share: nodes that QNN compiled, of
the graph with its shapes fixed and its constants folded. Agreement: test samples with the CPU's
label; samples that ranges were measured on are not among them. Noise: signal-to-noise ratio of the
outputs for the package's reference inputs, against the CPU in float32. The reasons are those of
`toolkit inspect`; with `--provider-option offload_graph_io_quantization=0` QNN quantizes what goes
in and out as well.
"""
COLUMNS = ("model", "shapes", "precision", "nodes", "share", "left to the CPU, and why")
MORE = ("agreement", "samples", "noise, dB", "file, MB", "goal", "reached")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model in one precision, and what it shall reach.

    Attributes:
        name: The model.
        package: Its package.
        data: Samples of its test split.
        precision: What is computed in.
        agreement: The goal, as a share; 0 for none.
        share: The goal for nodes compiled; 0 for none.
        sizes: Sizes of symbolic dimensions.
        where: Which rows of the data count.
        samples: Most samples; 0 for all.
    """

    name: str
    package: Path
    data: Path
    precision: Precision
    agreement: float = 0.0
    share: float = 0.0
    sizes: Mapping[str, int] = field(default_factory=dict)
    where: Mapping[str, str] | None = None
    samples: int = 0


def main() -> None:
    """Compile, compare, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qnn", description=__doc__)
    parser.add_argument("--minilm", type=Path, help="the checkpoint of a fine-tuned MiniLM")
    parser.add_argument("--soc", default="57", help="the chip")
    parser.add_argument("--samples", type=int, default=60, help="most reviews of a case")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), asked.minilm, asked.samples):
            rows.append(_row(case, asked.soc))
            print(" | ".join(rows[-1]), file=sys.stderr)
    lines = [(*COLUMNS, *MORE), ("---",) * (len(COLUMNS) + len(MORE)), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    date = datetime.now(UTC).date().isoformat()
    text = f"{HEAD}\n{table}\n\n{date}; chip {asked.soc}; {this_machine().as_line()}\n"
    print(text)
    asked.output.write_text(text, encoding="utf-8")


def cases(folder: Path, minilm: Path | None, samples: int) -> Iterator[Case]:
    """What is measured; models are trained when they are asked for."""
    digits = folder / "digits.npz"
    _write_digits(digits)
    cnn = _trained(folder, "digits_cnn")
    for precision in PRECISIONS:
        is_float = precision == "fp16"
        yield Case(
            name="digits_cnn",
            package=cnn,
            data=digits,
            precision=precision,
            agreement=1.0 if is_float else 0.0,
            share=1.0 if is_float else 0.0,
        )
    lstm = _trained(folder, "sentiment_lstm", "--set", "max_epochs=3")
    yield _reviews("sentiment_lstm", lstm, "fp16", samples, goal=0.0)
    if minilm is not None:
        package = folder / "minilm.ortpackage"
        _toolkit("export", str(minilm), "-o", str(package))
        for precision in PRECISIONS:
            goal = 0.98 if precision == "fp16" else 0.0
            yield _reviews("MiniLM, fine-tuned", package, precision, samples, goal=goal)


def _reviews(name: str, package: Path, precision: Precision, samples: int, goal: float) -> Case:
    return Case(
        name=name,
        package=package,
        data=REVIEWS,
        precision=precision,
        agreement=goal,
        sizes={"batch": 1, "sequence": TOKENS},
        where=TEST,
        samples=samples,
    )


def _trained(folder: Path, recipe: str, *settings: str) -> Path:
    run, package = folder / recipe, folder / f"{recipe}.ortpackage"
    _toolkit("train", str(MODELS / recipe / "recipe.py"), "-o", str(run), *settings)
    _toolkit("export", str(run), "-o", str(package))
    return package


def _toolkit(*arguments: str) -> None:
    command = [sys.executable, "-m", "toolkit", *arguments, "-q"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _write_digits(file: Path) -> None:
    """The test images of the recipe, with their labels."""
    path = MODELS / "digits_cnn" / "recipe.py"
    specification = importlib.util.spec_from_file_location("digits_recipe", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    test = module.load(module.recipe.settings).test
    np.savez(file, image=np.stack(list(test.items)), label=np.array(test.targets))


def _row(case: Case, soc: str) -> tuple[str, ...]:
    shapes = ", ".join(f"{name}={size}" for name, size in case.sizes.items()) or "batch=1"
    try:
        report = compile_package(
            case.package,
            socs=[soc],
            fix_shapes=case.sizes,
            precision=case.precision,
            data=case.data,
            reading=SampleOptions(where=case.where),
            samples=case.samples,
            min_agreement=0.0,  # what is measured shall be shown, whatever it is
        )
    except ToolkitError as error:
        return (case.name, shapes, case.precision, *[""] * 2, error.problem, *[""] * 5, "NO")
    return (case.name, shapes, case.precision, *_measured(report.compiled[0], case))


def _measured(made: Compiled, case: Case) -> tuple[str, ...]:
    assert made.agreement is not None
    goals = [
        f"{words} {goal:.0%}"
        for words, goal in (("share", case.share), ("agreement", case.agreement))
        if goal
    ]
    reached = made.share >= case.share and made.agreement >= case.agreement
    return (
        str(sum(made.nodes.values())),
        f"{made.share:.1%}",
        _left(made),
        f"{made.agreement:.1%}",
        str(made.samples),
        f"{made.sqnr_db:.1f}",
        f"{made.size_bytes / 1e6:.2f}",
        ", ".join(goals),
        ("yes" if reached else "NO") if goals else "",
    )


def _left(made: Compiled) -> str:
    if not made.elsewhere:
        return "nothing"
    reasons = dict.fromkeys(made.reasons.get(name, "not known") for name in made.elsewhere)
    return f"{operators_text(made.elsewhere)}: {'; '.join(reasons)}"


if __name__ == "__main__":
    main()
