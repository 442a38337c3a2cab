"""`python -m benchmarks.exporting CHECKPOINT`: `toolkit export` beside `optimum-cli export onnx`.

Whole processes by turns, the first of a round changing from round to round: wall time, CPU time,
which other work on the machine changes less, and the largest resident memory. Both export the same
checkpoint for text classification at their defaults, and both check what they wrote, ours at ten
shapes and on its reference rows. optimum is looked for in .venv-optimum (`make optimum`). Writes
benchmarks/exporting.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.usage import Usage, ratio, row, whole
from toolkit.machine import installed_versions, this_machine

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("exporting.md")
OPTIMUM = ROOT / ".venv-optimum" / "bin" / "optimum-cli"
_VERSIONS = (
    "import json; from importlib.metadata import version;"
    "print(json.dumps({n: version(n) for n in ('optimum-onnx', 'torch', 'transformers')}))"
)


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exporting", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="BERT for sequence classification")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--exporter", action="append", help="of ours; repeatable; auto by default")
    asked = parser.parse_args()
    exporters = asked.exporter or ["auto"]
    found: dict[str, list[Usage]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, asked.rounds):  # the first round fills the cache of files
            target = Path(folder) / str(number)
            theirs = [str(OPTIMUM), "export", "onnx", "-m", str(asked.checkpoint)]
            theirs += ["--task", "text-classification", str(target / "optimum")]
            commands = {"optimum-cli export onnx": theirs}
            for name in exporters:
                ours = [sys.executable, "-m", "toolkit", "export", str(asked.checkpoint), "-q"]
                ours += ["--exporter", name, "-o", str(target / f"{name}.ortpackage")]
                commands[f"toolkit export --exporter {name}"] = ours
            target.mkdir()
            for name, command in [*commands.items()][:: 1 if number % 2 else -1]:
                usage = whole(command)
                if number >= 0:
                    found.setdefault(name, []).append(usage)
                print(f"round {number + 1}: {name} {usage}", file=sys.stderr, flush=True)
    document = _document(found, asked.rounds)
    print(document)
    RESULTS.write_text(document, encoding="utf-8")


def _document(found: dict[str, list[Usage]], rounds: int) -> str:
    theirs = found["optimum-cli export onnx"]
    lines = [
        "# Exporting a fine-tuned MiniLM",
        "",
        "`python -m benchmarks.exporting` writes this file. Whole processes by turns, medians of",
        f"{rounds} rounds with the least and the most; ratios are taken round by round.",
        "",
        "| command | wall, s | CPU, s | peak memory, MiB |",
        "| --- | --- | --- | --- |",
        *(row(name, usages) for name, usages in sorted(found.items())),
        "",
        "| ours over optimum's | wall | CPU | peak memory |",
        "| --- | --- | --- | --- |",
    ]
    for name, ours in sorted(found.items()):
        if ours is theirs:
            continue
        cells = [
            ratio([getattr(u, key) for u in ours], [getattr(u, key) for u in theirs])
            for key in ("wall_s", "cpu_s", "peak_mib")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    machine = this_machine()
    versions = installed_versions(("torch", "transformers", "onnxruntime"))
    other = json.loads(
        subprocess.run(
            [OPTIMUM.with_name("python"), "-c", _VERSIONS],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    tools = f"ours: {_listed(versions)}; theirs: {_listed(other)}"
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    lines += ["", f"{date}; {machine.cpu}, {machine.cores} cores; {tools}"]
    return "\n".join(lines) + "\n"


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    main()
