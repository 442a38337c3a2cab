"""Task metrics of one variant on a user's data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.evaluate.decisions import MEASURED, Decisions, decisions, has_metric
from toolkit.evaluate.metrics import Estimate, measure
from toolkit.evaluate.samples import SampleOptions, Samples, is_whole, read_samples, stacked
from toolkit.inference import Model, load
from toolkit.rows import run_rows
from toolkit.runtime import SessionOptions
from toolkit.tasks import Result, TaskSpec
from toolkit.tensors import Array

BATCH = 16
Answers = Array | Decisions
"""Numbers, or what was decided where answers are none."""


@dataclass(frozen=True, kw_only=True)
class EvaluateReport:
    """What `evaluate` measured.

    Attributes:
        variant: The variant.
        provider: Where it ran.
        placement: Graph nodes by provider.
        elsewhere: Nodes by operator type that another provider runs.
        metrics: Estimate by metric name; the first one is the task's own.
        n: Samples.
        groups: Metrics and count by group, when grouping was asked for.
        data_sha256: Digest of the data file.
    """

    variant: str
    provider: str
    placement: Mapping[str, int]
    elsewhere: Mapping[str, int]
    metrics: Mapping[str, Estimate]
    n: int
    groups: Mapping[str, "GroupReport"]
    data_sha256: str

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return dict(msgspec.to_builtins(self))


@dataclass(frozen=True, kw_only=True)
class GroupReport:
    """Metrics of the samples that share a column's value."""

    metrics: Mapping[str, Estimate]
    n: int


def evaluate(
    source: str | Path,
    data: str | Path,
    *,
    variant: str | None = None,
    by: str = "",
    reading: SampleOptions | None = None,
    options: SessionOptions | None = None,
) -> EvaluateReport:
    """Metrics of a package's variant on labeled data.

    Args:
        source: The package.
        data: A data file; see `read_samples`.
        variant: The variant; the preferred one when not given.
        by: A column: metrics for each of its values too.
        reading: Which columns and rows of the data count.
        options: Provider, threads and the like.

    Raises:
        InputError: The data does not fit the model, or has no such column.
    """
    model = load(source, variant=variant, options=options)
    kind = model.task.specification.name
    if kind == "tensors":
        raise InputError(
            "nothing says what the outputs of this model mean",
            expected="a package with a task",
            fix="toolkit export SOURCE -o NAME.ortpackage",
        )
    if not has_metric(model.task.specification) and kind != "text-generation":
        raise InputError(
            f"there is no metric here for the task {kind!r}",
            expected=f"a package for one of {', '.join(MEASURED)}, or text-generation",
            fix="toolkit validate and quantize compare such answers between variants",
        )
    samples = read_samples(Path(data), model.task.specification, reading)
    answers = answer_all(model, samples)
    assert not isinstance(answers, Decisions)
    groups: dict[str, GroupReport] = {}
    if by:
        for name, rows in _grouped(samples, by).items():
            part = samples.take(rows)
            # A language model has an answer for every place of a text.
            chosen = np.isin(answers["text"], rows) if answers.dtype.names else rows
            metrics = score(answers[chosen], part, model.task.specification)
            groups[name] = GroupReport(metrics=metrics, n=len(rows))
    return EvaluateReport(
        variant=model.variant,
        provider=model.provider.value,
        placement=model.placement,
        elsewhere=model.elsewhere,
        metrics=score(answers, samples, model.task.specification),
        n=len(samples),
        groups=groups,
        data_sha256=samples.sha256,
    )


def answer_all(model: Model, samples: Samples, *, batch_size: int = BATCH) -> Answers:
    """The task's output for every sample, in batches of neighbors as the data has them.

    Returns:
        float[samples, labels] of probabilities, float[samples, 1] of raw regression outputs,
        float[samples, width] of embeddings (the mean over tokens where they are not pooled) or of
        all outputs side by side (for plain tensors), or decisions, for any other task.
    """
    task = model.task
    if task.specification.name == "text-generation":
        from toolkit.evaluate.reading import read_texts

        return read_texts(model, samples, batch_size=batch_size)
    if task.specification.generation is not None or task.specification.audio is not None:
        raise InputError(
            f"the answers of the task {task.specification.name} are whole texts, which are not "
            "compared here",
            expected="a package for one answer an item",
        )
    rows: list[Array] = []
    results: list[Result] = []
    run_alone = runs_alone(model, samples)
    batch_size = 1 if run_alone else batch_size
    for start in range(0, len(samples), batch_size):
        items = samples.items[start : start + batch_size]
        numbers = range(start + 1, start + 1 + len(items))
        if task.reads_items:
            batch = task.prepare(items, numbers)
            results += task.decode(run_rows(model.session, batch.feeds), batch)
            continue
        if task.specification.name == "tensors":
            outputs = model.session.run(stacked(items, model.inputs))
            first = task.specification.output
            rows.append(_flat(outputs, None if run_alone else len(items), first=first))
            continue
        outputs = model.outputs(items, numbers)
        answer = outputs[task.specification.output].reshape(len(items), -1)
        rows.append(task.probabilities(answer) if task.specification.labels else answer)
    if task.specification.name == "feature-extraction" and results:
        return np.array([np.mean(result["embedding"], axis=0) for result in results], np.float32)
    if run_alone and len({row.shape[1] for row in rows}) > 1:
        raise InputError(
            "the outputs have other sizes for other samples, so that they cannot be compared",
            expected="samples of one size",
        )
    return decisions(results) if task.reads_items else np.concatenate(rows)


def runs_alone(model: Model, samples: Samples) -> bool:
    """Whether every sample is a run of its own, and has no batch mates; see `is_whole`."""
    if model.task.specification.name != "tensors" or not len(samples):
        return False
    return is_whole(samples.items[0], model.inputs)


def _flat(outputs: Mapping[str, Array], count: int | None, *, first: str) -> Array:
    """float64[count, all outputs] of outputs whose first axis is the batch, if there is one.

    Whole numbers are left out where there are others: a copied token id would drown them. The
    output that labels belong to comes first.
    """
    floats = {name: value for name, value in outputs.items() if np.asarray(value).dtype.kind == "f"}
    outputs = floats or outputs
    outputs = {name: outputs[name] for name in sorted(outputs, key=lambda name: name != first)}
    if count is None:
        whole = [np.asarray(value).reshape(1, -1) for value in outputs.values()]
        return np.concatenate(whole, axis=1).astype(np.float64)
    for name, value in outputs.items():
        if np.shape(value)[:1] != (count,):  # a sequence of tensors has none
            raise InputError(
                f"output {name!r} has no row for each of the {count} that went in",
                expected="outputs whose first dimension is the batch",
            )
    parts = [value.reshape(count, -1).astype(np.float64) for value in outputs.values()]
    return np.concatenate(parts, axis=1)


def score(answers: Answers, samples: Samples, task: TaskSpec) -> dict[str, Estimate]:
    """Metrics by name, the task's main one first; none for samples without targets."""
    if task.name == "text-generation":
        assert not isinstance(answers, Decisions)
        return measure(task, answers, answers["target"])
    if samples.targets is None or isinstance(answers, Decisions):
        return {}
    targets, answers = np.asarray(samples.targets), labeled(answers, task)
    return measure(task, answers, np.log(targets) if task.value_transform == "exp" else targets)


def labeled(answers: Array, task: TaskSpec) -> Array:
    """The columns that labels belong to: of plain tensors, those of the first output."""
    return answers[:, : max(len(task.labels), 1)] if task.name == "tensors" else answers


def _grouped(samples: Samples, column: str) -> dict[str, list[int]]:
    if column not in samples.columns:
        raise InputError(
            f"the data has no column {column!r} to group by",
            expected=f"one of {', '.join(samples.columns)}",
        )
    groups: dict[str, list[int]] = {}
    for position, value in enumerate(samples.columns[column]):
        groups.setdefault(value, []).append(position)
    return groups
