"""`quantize`: candidates from the cheapest on, held to the promises; the best one is kept."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.errors import InputError
from toolkit.evaluate.samples import NoLabelsError, SampleOptions, Samples, read_samples
from toolkit.export.floats import float_parent
from toolkit.package import ModelPackage, is_bare, refuse_component
from toolkit.package.write import check_variant_name
from toolkit.progress import Progress, silent
from toolkit.quantize.budget import Budget
from toolkit.quantize.measuring import Judge
from toolkit.quantize.methods import suitable
from toolkit.quantize.report import WITHOUT_LABELS, Limits, QuantizeReport
from toolkit.quantize.trials import SearchOptions, Trials
from toolkit.runtime import SessionOptions
from toolkit.tasks import TaskSpec


def quantize(
    source: str | Path,
    data: str | Path | Samples | None,
    *,
    limits: Limits | None = None,
    reading: SampleOptions | None = None,
    methods: Sequence[str] = (),
    search: SearchOptions | None = None,
    component: str | None = None,
    variant: str | None = None,
    name: str | None = None,
    options: SessionOptions | None = None,
    output: str | Path | None = None,
    random_inputs: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> QuantizeReport:
    """Add the best quantized variant that keeps its promises on the user's data.

    A bare `.onnx` file is written to `output` instead; see `toolkit.quantize.bare`.

    Methods are tried from the cheapest on. A candidate that cannot pass, or that one which passed
    beats in size and latency, is given up early. Those that would be better than what passed and
    miss a limit on quality are tried again with their most sensitive nodes in float.

    Args:
        source: The package, or a bare `.onnx` file.
        data: Labeled data; see `read_samples`. Without labels where `reading` says so. For a bare
            file an `.npz`, whose labels count where `reading` names their array.
        limits: What a candidate must keep.
        reading: Which columns and rows of the data count, and whether they have labels.
        methods: Short for `SearchOptions.methods`.
        search: How the search goes.
        component: The component to quantize; the first when not given.
        variant: The variant to start from; the first that is fp32 as exported when not given.
        name: The new variant's name; its precision when not given.
        options: Threads and the like.
        output: The file to write, for a bare source.
        random_inputs: For a bare source without data: judge candidates on random inputs.
        force: Replace a variant of that name, or the file at `output`.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The source is no package or has no such component, the variant is none of
            precision fp32 or its graph holds quantized weights, the data does not fit or
            holds a single label, a method or node is unknown, or the name is taken or the parent's.
        CheckFailedError: No candidate kept its promises; the package is as it was.
        StoppedError: The search was interrupted after a candidate had passed, which was added.
    """
    settings = search or SearchOptions()
    settings = replace(settings, methods=methods or settings.methods)
    path = Path(source)
    if is_bare(path, variant):
        from toolkit.quantize.bare import quantize_file

        refuse_component(path, component)
        _refuse_of_bare(path, name=name, reading=reading)
        return quantize_file(
            path,
            data,
            output,
            label_column="" if reading is None else reading.label_column,
            random_inputs=random_inputs,
            limits=limits,
            search=settings,
            options=options,
            force=force,
            progress=progress,
        )
    if data is None or output is not None or random_inputs:
        raise InputError(
            f"{source} is a package: it is quantized on data, and gets a variant",
            expected="--data, and neither -o nor --random-inputs",
            fix=f"toolkit quantize {source} --data FILE",
        )
    end = settings.clock() + settings.budget_s if settings.budget_s is not None else float("inf")
    package = ModelPackage.open(path, component)
    task = package.contents.task
    chosen = suitable(task, settings.methods)
    parent = float_parent(package, variant)
    for precision in [name] if name else {method.precision for method in chosen}:
        check_variant_name(package, str(precision), parent=parent.name, force=force)
    reading = reading or SampleOptions()
    samples = data if isinstance(data, Samples) else _read(Path(data), task, reading)
    _check_labels(samples, task, data)
    limits = limits or (Limits() if reading.labels else WITHOUT_LABELS)
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(
            package=package,
            parent=parent,
            samples=samples,
            limits=limits,
            options=replace(options or SessionOptions(), spinning=False),
            budget=Budget(end=end, clock=settings.clock),
            meaning=settings.meaning,
        )
        trials = Trials(
            judge=judge,
            settings=settings,
            folder=Path(folder),
            name=name,
            reading=reading,
            progress=progress,
        )
        trials.start()
        stopped = trials.run(chosen)
        return trials.finish(stopped, force=force)


def _refuse_of_bare(file: Path, *, name: str | None, reading: SampleOptions | None) -> None:
    """Refuse what says nothing of a bare file."""
    if name is not None:
        raise InputError(
            f"{file} is a bare model: the quantized one is called what -o says",
            fix="leave --name out",
        )
    if reading is None:
        return
    if reading.text_column or reading.where:
        raise InputError(
            f"{file} is a bare model, whose data has no columns",
            expected="an .npz with an array for each graph input, and one of labels if you like",
            fix="leave --text-column and --where out",
        )
    if reading.label_column and not reading.labels:
        raise InputError(
            f"labels {reading.label_column!r} were named, and are not to be looked at",
            fix="leave --no-labels or --label-column out",
        )


def _read(file: Path, task: TaskSpec, reading: SampleOptions) -> Samples:
    try:
        return read_samples(file, task, reading)
    except NoLabelsError as error:
        raise InputError(
            error.problem,
            expected=error.expected,
            fix=f"{error.fix}; --no-labels holds candidates to their closeness to fp32 instead",
        ) from error


def _check_labels(samples: Samples, task: TaskSpec, file: object) -> None:
    """Refuse labels that are all the same: a model that always gives it would pass."""
    targets = samples.targets
    if targets is None or not task.labels or task.multi_label or len({*targets}) > 1:
        return
    label = task.labels[int(targets[0])]  # type: ignore[arg-type]  # one label an item
    raise InputError(
        f"every row of {file} has the label {label!r}: no drop could be seen",
        expected="at least two different labels",
        fix="--no-labels holds candidates to their agreement with fp32 instead",
    )
