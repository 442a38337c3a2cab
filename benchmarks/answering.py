"""`python -m benchmarks.answering CHECKPOINT`: one short text, beside optimum's pipeline.

Both run the same int8 file, which optimum's quantizer wrote of optimum's export; ours is a package
that holds the file as it is, with the tokenizer and the labels of the checkpoint. First calls, each
in a process of its own, that is open all the while, by turns; a new pair of processes a round.
Then whole processes by turns. The first of a pair changes from pair to pair. optimum is looked for
in .venv-optimum (`make optimum`). Writes benchmarks/answering.md.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.usage import Usage, ratio, row, whole
from toolkit.machine import this_machine
from toolkit.package import ModelPackage
from toolkit.package.write import MODEL_FILE, add_variant, staging_directory
from toolkit.profiling.processes import Contender, Rounds
from toolkit.profiling.sequential import ratio_intervals

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("answering.md")
OPTIMUM = ROOT / ".venv-optimum" / "bin" / "python"
TEXT = "a gorgeous, witty film"
TENTH = 0.1
NAMES = ("toolkit", "optimum")
_PIPELINE = """
import sys
from benchmarks.peer_calls import optimum
print(optimum(folder=sys.argv[1], text=sys.argv[2]).classify())
"""


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answering", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="BERT for sequence classification")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0, help="of calls in a round")
    parser.add_argument("--models", type=Path, help="keep the models here, and find them again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = asked.models or Path(temporary)
        package, int8 = made(asked.checkpoint.resolve(), models)
        contenders = [
            _contender("toolkit", "ours", package, "", variant="int8"),
            _contender("optimum", "optimum", int8, str(OPTIMUM)),
        ]
        measure = Rounds(
            contenders=contenders, seconds=asked.seconds, seed=0, outputs=Path(temporary)
        )
        times = [measure() for _ in range(asked.rounds)]
        found = [float(np.load(Path(temporary) / f"{i}.npz")["positive"][0]) for i in range(2)]
        if abs(found[0] - found[1]) > 1e-5:
            raise SystemExit(f"the two do not compute the same: {found}")
        interval = ratio_intervals(times, error=0.05)[0]
        calls = [median(turns) / 1e6 for turns in measure.latencies_ns]
        usages = _processes(package, int8, asked.rounds)
    date, machine = f"{datetime.now(UTC):%Y-%m-%d}", this_machine()
    theirs = ", ".join(f"{name} {version}" for name, version in measure.facts[1].items())
    share = f"{interval.ratio:.3f} ({interval.low:.3f} to {interval.high:.3f})"
    lines = [
        "# One short text",
        "",
        "`python -m benchmarks.answering` writes this file: `toolkit infer` and",
        f'`load(package)("{TEXT}")` beside optimum\'s pipeline, on the same int8 file, everything',
        f"at its defaults, by turns, {asked.rounds} rounds of new processes.",
        "",
        "| a call | p50, ms |",
        "| --- | --- |",
        *(f"| {name} | {ms:.2f} |" for name, ms in zip(NAMES, calls, strict=True)),
        "",
        f"A call takes {share} of optimum's time; faster is the goal.",
        "",
        "| whole process | wall, s | CPU, s | peak memory, MiB |",
        "| --- | --- | --- | --- |",
        *(row(name, usages[name]) for name in NAMES),
        "",
        _shares(usages),
        "",
        f"{date}; {machine.cpu}, {machine.cores} cores; optimum's side: {theirs}",
    ]
    document = "\n".join(lines) + "\n"
    print(document)
    RESULTS.write_text(document, encoding="utf-8")


def made(checkpoint: Path, models: Path) -> tuple[Path, Path]:
    """Optimum's int8 file in a package of ours and in its folder, written where missing."""
    fp32, int8 = models / "optimum", models / "optimum-int8"
    if not int8.exists():
        code = "import sys; from benchmarks.peer_calls import *; export_with_optimum(*sys.argv[1:])"
        command = [str(OPTIMUM), "-c", code, str(checkpoint), str(fp32), str(int8)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    package = models / "same-file.ortpackage"
    shutil.rmtree(package, ignore_errors=True)
    whole([sys.executable, "-m", "toolkit", "export", str(checkpoint), "-o", str(package), "-q"])
    _add(package, next(int8.glob("*.onnx")))
    return package, int8


def _add(package: Path, file: Path) -> None:
    """Put the file into the package as its variant int8, as it is."""
    opened = ModelPackage.open(package)
    with staging_directory(opened) as staging:
        folder = staging / "model"
        folder.mkdir()
        shutil.copy(file, folder / MODEL_FILE)
        add_variant(
            opened,
            folder,
            name="int8",
            precision="int8",
            method="optimum",
            parent="fp32",
            parity={},
            details={},
            step="quantize",
            preferred=True,
        )


def _contender(name: str, call: str, folder: Path, python: str, **more: object) -> Contender:
    return Contender(
        name=name,
        factory=f"benchmarks.peer_calls:{call}",
        arguments={"folder": str(folder), "text": TEXT, **more},
        python=python,
    )


def _processes(package: Path, int8: Path, rounds: int) -> dict[str, list[Usage]]:
    commands = {
        NAMES[0]: [sys.executable, "-m", "toolkit", "infer", str(package), TEXT],
        NAMES[1]: [str(OPTIMUM), "-c", _PIPELINE, str(int8), TEXT],
    }
    found: dict[str, list[Usage]] = {name: [] for name in NAMES}
    for number in range(-1, rounds):  # the first round fills the cache of files
        for name in NAMES[:: 1 if number % 2 else -1]:
            usage = whole(commands[name])
            if number >= 0:
                found[name].append(usage)
    return found


def _shares(usages: dict[str, list[Usage]]) -> str:
    ours, theirs = (usages[name] for name in NAMES)
    wall = ratio([u.wall_s for u in ours], [u.wall_s for u in theirs])
    cpu = ratio([u.cpu_s for u in ours], [u.cpu_s for u in theirs])
    return f"A process takes {wall} of optimum's wall time, {cpu} of its CPU time; goal {TENTH}."


if __name__ == "__main__":
    main()
