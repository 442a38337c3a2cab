"""Export every architecture with every exporter, and write docs/compatibility.md.

    python -m benchmarks.compatibility [--only NAME ...] [--optimum PYTHON]

Each export is `toolkit export` in a process of its own: what it took is the process's CPU time,
which other work on the machine hardly changes, and its largest resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.architectures import ARCHITECTURES, Architecture
from toolkit.machine import installed_versions, this_machine

TARGET = Path(__file__).parent.parent / "docs" / "compatibility.md"
EXPORTERS = ("transformers", "torch", "optimum")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one export came to.

    Attributes:
        parity: The largest absolute difference; none where nothing was exported.
        reason: Why nothing was.
        seconds: CPU time of the process.
        peak_mib: Its largest resident memory.
    """

    parity: float | None
    reason: str
    seconds: float
    peak_mib: float


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="an architecture; repeatable")
    parser.add_argument("--optimum", default=".venv-optimum/bin/python", help="its interpreter")
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    asked = parser.parse_args()
    chosen = [a for a in ARCHITECTURES if not asked.only or a.name in asked.only]
    rows: list[tuple[Architecture, dict[str, Outcome]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, architecture in enumerate(chosen):
            checkpoint = Path(folder) / f"checkpoint{number}"
            architecture.write(checkpoint)
            found = {}
            for exporter in EXPORTERS:
                python = asked.optimum if exporter == "optimum" else sys.executable
                if Path(python).exists():
                    found[exporter] = _export(python, checkpoint, exporter, Path(folder))
                    shown = found[exporter].reason or f"{found[exporter].parity:.1e}"
                    print(f"{architecture.name}, {exporter}: {shown}", file=sys.stderr, flush=True)
            rows.append((architecture, found))
    asked.output.parent.mkdir(exist_ok=True)
    asked.output.write_text(_page(rows), encoding="utf-8")


def _export(python: str, checkpoint: Path, exporter: str, folder: Path) -> Outcome:
    target = folder / f"{checkpoint.name}.{exporter}.ortpackage"
    command = [python, "-m", "toolkit", "export", str(checkpoint), "-o", str(target)]
    command += ["--exporter", exporter, "--json", "-q"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, said = out.read().decode(), err.read().decode()
    parity, reason = None, ""
    if process.returncode == 0:
        parity = json.loads(printed)["parity"]["max_abs_error"]
    else:
        lines = [line for line in said.splitlines() if line.startswith("error:")]
        reason = (lines or said.splitlines()[-1:] or ["no message"])[0].removeprefix("error: ")
        reason = reason.replace(str(checkpoint), "the checkpoint").replace("|", "\\|")
    return Outcome(
        parity=parity,
        reason=reason,
        seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
    )


def _page(rows: Sequence[tuple[Architecture, dict[str, Outcome]]]) -> str:
    exported = sum(any(o.parity is not None for o in found.values()) for _, found in rows)
    machine = this_machine()
    versions = installed_versions(("torch", "transformers", "onnx", "onnxscript", "onnxruntime"))
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# Which checkpoints export",
        "",
        "Tiny random models of each architecture, exported by each exporter and compared with the",
        "model in PyTorch on the CPU provider: the largest absolute difference of any output at",
        "any shape (limit 1e-4), CPU time and peak memory of the whole `toolkit export` process.",
        f"Written by `python -m benchmarks.compatibility` on {datetime.now(UTC):%Y-%m-%d},",
        f"{machine.cpu}, {machine.cores} cores; {listed}. The exporter `optimum` runs in its own",
        "environment (`make optimum`).",
        "",
        f"**{exported} of {len(rows)} architectures ({100 * exported / max(len(rows), 1):.0f} %)",
        "pass with at least one exporter**, which is what `--exporter auto` needs.",
        "",
        "| architecture | " + " | ".join(EXPORTERS) + " |",
        "| --- |" + " --- |" * len(EXPORTERS),
    ]
    reasons: list[str] = []
    for architecture, found in rows:
        cells = []
        for exporter in EXPORTERS:
            outcome = found.get(exporter)
            if outcome is None:
                cells.append("not tried")
            elif outcome.parity is None:
                reasons.append(f"{architecture.name}, {exporter}: {outcome.reason}")
                cells.append(f"fails ({len(reasons)})")
            else:
                cells.append(
                    f"{outcome.parity:.1e}, {outcome.seconds:.0f} s, {outcome.peak_mib:.0f} MiB"
                )
        lines.append(f"| {architecture.name} | " + " | ".join(cells) + " |")
    if reasons:
        lines += ["", "Why it fails:", ""]
        lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
