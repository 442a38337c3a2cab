"""Every check of a package again, on this machine, without torch."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from toolkit.choosing import options_for
from toolkit.errors import InputError, ToolkitWarning
from toolkit.evaluate.agreement import agreement, batch_invariance
from toolkit.evaluate.metrics import main_metric
from toolkit.evaluate.parity import Parity, compare_outputs
from toolkit.evaluate.samples import SampleOptions, Samples, read_samples
from toolkit.evaluate.scoring import answer_all, score
from toolkit.inference import Model, load, load_variant
from toolkit.npz import read_npz
from toolkit.package import ModelPackage, Variant, is_bare, refuse_component
from toolkit.progress import Progress, silent
from toolkit.runtime import Provider, Session, SessionOptions, open_session
from toolkit.tasks import Task, TaskSpec, open_task
from toolkit.tensors import Array, check_tensors, make_feeds

FLOAT_LIMIT = 1e-4
"""Two runs of one float32 graph in other batches and threads may differ by this much."""

BATCH_LIMIT = "batch_limit"
"""In a variant's parity: how far a row alone may be from itself in a batch, if not `FLOAT_LIMIT`;
what `quantize` measured, with slack, of a variant that kept its labels all the same."""

PARITY_SLACK = 2.0
"""Other processors and GPUs round int8 and float16 differently: `validate` allows a variant so many
times what was measured."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: What; after the component's name and a colon in a package that has several.
        variant: Of which variant; empty for the package.
        passed: Whether the value keeps the limit.
        value: What was measured.
        limit: What it was held to.
        detail: What the value counts, in words.
    """

    name: str
    variant: str
    passed: bool
    value: float
    limit: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ValidateReport:
    """What `validate` checked.

    Attributes:
        passed: Whether every check passed.
        checks: The checks in order.
    """

    passed: bool
    checks: tuple[Check, ...]


def validate(
    source: str | Path,
    *,
    data: str | Path | None = None,
    component: str | None = None,
    variant: str | None = None,
    reading: SampleOptions | None = None,
    options: SessionOptions | None = None,
    progress: Progress = silent,
) -> ValidateReport:
    """Check a package, or a bare `.onnx` file as far as one can be checked.

    Args:
        source: The package or file.
        data: Labeled data, to hold the metric of every variant against its parent's.
        component: Check only this one of a package that has several.
        variant: Check only this one, and of components that have none of this name the preferred
            one: what `ModelPackage.variant_of_each` says.
        reading: Which columns and rows of the data count.
        options: Provider, threads and the like.
        progress: Called with a line for each variant.

    Raises:
        InputError: The package is damaged, the data does not fit, or there is no such component or
            variant.
    """
    path = Path(source)
    options = options or SessionOptions()
    if is_bare(path, variant):
        if data is not None:
            raise InputError(
                f"{path} is a bare model: nothing says what its outputs mean",
                expected="a package for --data",
            )
        refuse_component(path, component)
        checks = [*_checks_of_bare(load(path, options=options))]
    else:
        package = ModelPackage.open(path, component)
        chosen = _chosen(package, component, variant)
        samples = _samples(package, data, reading)
        progress("hashes")
        files = package.verify()
        checks = [check("integrity", "", 0, 0, f"{files} files as they were written")]
        for name, variants in chosen.items():
            view = package.focused(name)
            of_it = [*_preprocessing(view)]
            for one in variants:
                progress(f"{name}: {one.name}" if _is_one_of_several(package) else one.name)
                of_it += _checks_of_variant(
                    view, one, samples, options, is_named=variant is not None
                )
            if _is_one_of_several(package):
                of_it = [replace(one, name=f"{name}: {one.name}") for one in of_it]
            checks += of_it
    return ValidateReport(passed=all(one.passed for one in checks), checks=tuple(checks))


def _chosen(
    package: ModelPackage, component: str | None, variant: str | None
) -> dict[str, tuple[Variant, ...]]:
    """What is checked, by component."""
    if component is not None:
        return {component: (package.variant(variant),) if variant else package.variants}
    if variant is not None:
        return {name: (one,) for name, one in package.variant_of_each(variant).items()}
    return {name: package.focused(name).variants for name in package.component_names}


def _samples(
    package: ModelPackage, data: str | Path | None, reading: SampleOptions | None
) -> Samples | None:
    if data is None:
        return None
    if _is_one_of_several(package):
        raise InputError(
            f"{package.path} has the components {', '.join(package.component_names)}: none of "
            "them gives the answers that data are labeled with",
            fix="leave --data out",
        )
    return read_samples(Path(data), package.contents.task, reading)


def _is_one_of_several(package: ModelPackage) -> bool:
    return len(package.component_names) > 1


def reference_feeds(package: ModelPackage) -> dict[str, Array]:
    """The reference inputs that travel in the package.

    Raises:
        InputError: The package has none.
    """
    return _reference(package, "inputs.npz")


def reference_outputs(package: ModelPackage) -> dict[str, Array]:
    """The source model's outputs in float32 for the reference inputs; see `reference_feeds`."""
    return _reference(package, "outputs.npz")


def _reference(package: ModelPackage, name: str) -> dict[str, Array]:
    folder = package.asset("reference")
    if folder is None or not (folder / name).is_file():
        raise InputError(f"{package.path} has no reference {name}", fix="export the package again")
    return read_npz(folder / name)


def _checks_of_variant(
    package: ModelPackage,
    variant: Variant,
    samples: Samples | None,
    options: SessionOptions,
    *,
    is_named: bool,
) -> Iterator[Check]:
    if variant.entry.ep != Provider.CPU.ort_name:
        from toolkit.compiling.checks import checks_of_compiled

        yield from checks_of_compiled(package, variant, samples, options, is_named=is_named)
        return
    model = _open(package, variant, options)
    yield _signature(package, model)
    yield _reference_parity(package, variant, model)
    limit = float(variant.contents.parity.get(BATCH_LIMIT, FLOAT_LIMIT))
    yield from _company(model, reference_feeds(package), limit)
    if samples is not None:
        yield from _metric_checks(package, variant, model, samples, options)


def _open(package: ModelPackage, variant: Variant, options: SessionOptions) -> Model:
    if not _is_one_of_several(package):
        return load_variant(package, variant, options)
    # The task is the whole model's: a component takes and gives tensors.
    options = options_for(variant, options)
    session = open_session(package.verified(variant), options, config=variant.session_options)
    return Model(package.path, variant.name, session, Task(TaskSpec(name="tensors"), None))


def _checks_of_bare(model: Model) -> Iterator[Check]:
    feeds = make_feeds(model.inputs, sizes={}, seed=0, default=4)
    outputs = model.run(feeds)
    check_tensors(outputs)
    bad = sum(
        int(value.size - np.isfinite(value).sum())
        for value in outputs.values()
        if value.dtype.kind == "f"
    )
    yield check("finite outputs", "", bad, 0, "elements that are NaN or infinite")
    yield from _company(model, feeds, FLOAT_LIMIT)


def check(name: str, variant: str, value: float, limit: float, detail: str) -> Check:
    """One check, passed where the value is at most the limit; see `Check`."""
    passed = bool(value <= limit)
    return Check(name=name, variant=variant, passed=passed, value=value, limit=limit, detail=detail)


def _signature(package: ModelPackage, model: Model) -> Check:
    declared = (*package.inputs, *package.outputs)
    found = (*model.session.inputs, *model.session.outputs)
    differing = len(set(declared) ^ set(found))
    return check("tensors", model.variant, differing, 0, "inputs and outputs not as declared")


def _reference_parity(package: ModelPackage, variant: Variant, model: Model) -> Check:
    parity = compare_outputs(reference_outputs(package), model.run(reference_feeds(package)))
    limit = float(variant.contents.parity["limit"])
    detail = parity.mismatch or "largest difference from the reference outputs"
    return check("reference outputs", variant.name, parity.max_abs_error, limit, detail)


def _preprocessing(package: ModelPackage) -> Iterator[Check]:
    """The reference rows encoded again: another release of tokenizers may split otherwise."""
    folder, contents = package.asset("reference"), package.contents
    # Other sources may pad or crop their example rows as they like.
    kind = contents.source.kind
    ours = (kind == "run" and contents.task.generation is None) or (
        kind == "checkpoint" and _is_text_encoder(contents.task)
    )
    if folder is None or not ours or not (folder / "items.json").is_file():
        return
    items = msgspec.json.decode((folder / "items.json").read_bytes(), type=list[Any])
    if contents.task.image is not None:
        items = [np.array(item, np.uint8) for item in items]
    task = open_task(contents.task, package.asset("preprocessing"), package.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolkitWarning)  # a reference text may be a long one
        found = task.encode(items)
    parity = compare_outputs(reference_feeds(package), found)
    detail = parity.mismatch or "largest difference from the reference inputs"
    yield check("preprocessing", "", parity.max_abs_error, FLOAT_LIMIT, detail)


def _is_text_encoder(task: TaskSpec) -> bool:
    return task.text is not None and task.generation is None and task.image is None


def batch_change(model: Model, feeds: dict[str, Array]) -> Parity | None:
    """The same rows alone beside their batch; None where not every tensor has a batch axis."""
    specs = (*model.session.inputs, *model.session.outputs)
    batched = all(spec.shape and isinstance(spec.shape[0], str) for spec in specs)
    if not batched or len({spec.shape[0] for spec in specs}) > 1:
        return None
    together = model.run(feeds)
    count = len(next(iter(feeds.values())))
    alone = [model.run({k: v[i : i + 1] for k, v in feeds.items()}) for i in range(count)]
    joined = {name: np.concatenate([row[name] for row in alone]) for name in together}
    return compare_outputs(together, joined)


def reference_errors(package: ModelPackage, session: Session) -> tuple[float, float]:
    """What `validate` will measure of a variant.

    Returns:
        The largest difference from the source's outputs, and between a row alone and in its batch.
    """
    feeds = reference_feeds(package)
    error = compare_outputs(reference_outputs(package), session.run(feeds))
    task = Task(TaskSpec(name="tensors"), None)
    alone = batch_change(Model(package.path, "", session, task), feeds)
    return error.max_abs_error, 0.0 if alone is None else alone.max_abs_error


def with_slack(measured: float) -> float:
    """The limit that a variant of another precision gets for what was measured of it."""
    return max(FLOAT_LIMIT, PARITY_SLACK * measured)


def _company(model: Model, feeds: dict[str, Array], limit: float) -> Iterator[Check]:
    parity = batch_change(model, feeds)
    if parity is not None:
        detail = parity.mismatch or "largest difference between a row alone and in its batch"
        yield check("batch invariance", model.variant, parity.max_abs_error, limit, detail)


def _metric_checks(
    package: ModelPackage,
    variant: Variant,
    model: Model,
    samples: Samples,
    options: SessionOptions,
) -> Iterator[Check]:
    answers = answer_all(model, samples)
    company = batch_invariance(model, samples, answers)
    details = variant.contents.details
    allowed = float(details.get("max_batch_flips", 0))
    yield check("batch flips", variant.name, company.flips, allowed, f"of {company.n} samples")
    if not variant.contents.parent:
        return
    parent = package.variant(variant.contents.parent)
    reference = answer_all(load_variant(package, parent, options), samples)
    close = agreement(package.contents.task, reference, answers)
    least = float(details.get("min_agreement", 0.0))
    if least:  # without a limit there is nothing to check
        detail = f"share of {len(samples)} samples that disagree with {parent.name}"
        yield check("disagreement", variant.name, 1 - close.share, 1 - least, detail)
    task = package.contents.task
    before, after = score(reference, samples, task), score(answers, samples, task)
    name = main_metric(task)
    if "perplexity" in before:
        rise = after["perplexity"].value / before["perplexity"].value - 1
        limit = float(details.get("max_perplexity_rise", 0.0))
        yield check("perplexity rise", variant.name, rise, limit, f"share of {parent.name}'s")
    elif name in before:
        drop = before[name].value - after[name].value
        limit = float(details.get("max_drop", 0.0))
        yield check(f"{name} drop", variant.name, drop, limit, f"against {parent.name}")
