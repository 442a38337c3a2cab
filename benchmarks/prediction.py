"""`python -m benchmarks.prediction [--operators]`: predicted beside measured shares.

Every graph at fixed shapes: what `toolkit inspect` predicts of QNN and OpenVINO, and what sessions
place there (QNN on its simulator here, OpenVINO in an environment of its own). Writes
benchmarks/prediction.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.placed_many import shares
from benchmarks.prediction_graphs import graphs, sizes_of
from benchmarks.single_operators import write_all
from toolkit.inspection.coverage import Prediction, predict
from toolkit.machine import installed_versions, this_machine
from toolkit.runtime.providers import Provider

RESULTS = Path(__file__).with_name("prediction.md")
ROOT = Path(__file__).parents[1]
GOAL = 0.02
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
OPERATORS = "every operator at every type and rank, and the cases of onnx.backend.test"
LIMIT_S = 300
SHOWN = 160
HEAD = (
    "| graph | nodes | QNN predicted | measured | apart | OpenVINO predicted | measured | apart |"
)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A provider's prediction for a graph, and what a session placed.

    Attributes:
        predicted: What the rules say.
        measured: Share of the nodes; None where no session opened.
        why: Why none did.
    """

    predicted: Prediction
    measured: float | None
    why: str = ""

    @property
    def apart(self) -> float | None:
        """By how much the shares differ; None where none was measured."""
        return None if self.measured is None else abs(self.share - self.measured)

    @property
    def share(self) -> float:
        """The predicted share."""
        return self.predicted.predicted or 0.0


def main() -> None:
    """Predict, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__)
    parser.add_argument("--openvino", default=".venv-openvino/bin/python", help="its interpreter")
    parser.add_argument(
        "--operators",
        type=Path,
        help="graphs of one operator as well; a folder that keeps them and what was measured, so "
        "that the next call goes on where this one ends",
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the file to write")
    asked = parser.parse_args()
    interpreters = {Provider.QNN: sys.executable, Provider.OPENVINO: asked.openvino}
    rows: dict[str, dict[Provider, Beside]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in graphs(Path(folder)):
            sizes = sizes_of(name, model)
            found = {one.provider: one for one in predict(model, sizes)}
            rows[name] = {
                provider: _beside(python, provider, model, sizes, found[provider])
                for provider, python in interpreters.items()
            }
            print(name, *(_cells(one) for one in rows[name].values()), file=sys.stderr, flush=True)
    document = _page(rows)
    if asked.operators is not None:
        document += "\n".join(_operators(asked.operators, interpreters))
    print(document)
    asked.output.write_text(document, encoding="utf-8")


def _beside(
    python: str, provider: Provider, model: Path, sizes: Mapping[str, int], predicted: Prediction
) -> Beside:
    """What `toolkit.runtime.probe` places, run by the interpreter that has the provider."""
    request = {
        "provider": str(provider),
        "model": str(model),
        "config": {},
        "fix_shapes": dict(sizes),
    }
    done = subprocess.run(
        [python, "-P", "-m", "toolkit.runtime.probe"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        env=ENVIRONMENT,
    )
    if done.returncode:
        why = f"the process of the session ended with {done.returncode}"
        return Beside(predicted=predicted, measured=None, why=why)
    answer = json.loads(done.stdout)
    placement = answer["result"].get("placement", {})
    total = sum(placement.values())
    if not total:
        why = answer["result"].get("why") or (answer["error"] or {}).get("problem", "")
        shown = why.splitlines()[0].replace(str(model.parent), "")[:SHOWN]
        return Beside(predicted=predicted, measured=None, why=shown)
    return Beside(predicted=predicted, measured=placement.get(provider.ort_name, 0) / total)


def _operators(folder: Path, interpreters: Mapping[Provider, str]) -> list[str]:
    """How many graphs of one operator are judged right, and which operators are not."""
    models = folder / "models"
    if not models.exists():
        models.mkdir(parents=True)
        write_all(models)
    count = len(list(models.glob("*.onnx")))
    lines = ["", "## Graphs of one operator", "", f"{count:,} graphs; {OPERATORS}", ""]
    predicted = {
        model.stem: {one.provider: one for one in predict(model)} for model in models.glob("*.onnx")
    }
    for provider, python in interpreters.items():
        results = folder / f"{provider}.jsonl"
        paths = [str(models), str(results)]
        command = [python, "-P", "-m", "benchmarks.placed_many", str(provider), *paths]
        while subprocess.run(command, check=False, env=ENVIRONMENT).returncode:
            print(f"{provider}: a graph ended the process", file=sys.stderr)
        measured = {name: share for name, share in shares(results).items() if share is not None}
        wrong = Counter(
            predicted[name][provider.value].breaks[0].operator
            if predicted[name][provider.value].breaks
            else name.removeprefix("test_").partition("-")[0].partition("_")[0]
            for name, share in measured.items()
            if abs((predicted[name][provider.value].predicted or 0.0) - share) > GOAL
        )
        right = len(measured) - wrong.total()
        listed = ", ".join(f"{name} {times}" for name, times in wrong.most_common(12))
        lines.append(
            f"- **{provider}**: {right:,} of {len(measured):,} that a session opened for are "
            f"judged right ({right / max(len(measured), 1):.1%}). Not right: {listed}."
        )
    return [*lines, ""]


def _cells(one: Beside) -> str:
    if one.measured is None or one.apart is None:
        return f"{one.share:.1%} | none | |"
    return f"{one.share:.1%} | {one.measured:.1%} | {100 * one.apart:.1f} |"


def _page(rows: Mapping[str, Mapping[Provider, Beside]]) -> str:
    versions = installed_versions(("onnxruntime", "onnxruntime-qnn", "onnx"))
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# Predicted beside measured",
        "",
        "`python -m benchmarks.prediction` writes this file. What `toolkit inspect` predicts at",
        "fixed shapes, from rules, and what ONNX Runtime's assignment information says of a",
        "session: the share of the nodes after the basic optimizations, in percent, and how many",
        "points apart. QNN is the HTP simulator; OpenVINO runs on this CPU, in an environment of",
        "its own (onnxruntime-openvino 1.24.1).",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}; {this_machine().as_line()}; {listed}",
        "",
        *(_summary(provider, rows) for provider in (Provider.QNN, Provider.OPENVINO)),
        "",
        HEAD,
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in rows.items():
        qnn, openvino = found[Provider.QNN], found[Provider.OPENVINO]
        nodes = qnn.predicted.nodes
        lines.append(f"| {name} | {nodes} | {_cells(qnn)} {_cells(openvino)}")
    failed = [
        f"- {name}, {provider}: {one.why}"
        for name, found in rows.items()
        for provider, one in found.items()
        if one.measured is None
    ]
    if failed:
        lines += ["", "Where no session opened:", "", *failed]
    return "\n".join([*lines, ""])


def _summary(provider: Provider, rows: Mapping[str, Mapping[Provider, Beside]]) -> str:
    apart: Sequence[float] = [
        one.apart for found in rows.values() if (one := found[provider]).apart is not None
    ]
    if not apart:
        return f"- **{provider}**: no session opened"
    within = sum(one <= GOAL for one in apart)
    return (
        f"- **{provider}**: {within} of {len(apart)} graphs at most {100 * GOAL:g} points apart, "
        f"the widest {100 * max(apart):.1f}"
    )


if __name__ == "__main__":
    main()
