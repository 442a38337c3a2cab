"""A bare `.onnx` file in, a bare `.onnx` file out: the search on a package for a while."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.errors import CheckFailedError, InputError
from toolkit.evaluate.parity import compare_outputs
from toolkit.evaluate.samples import SampleOptions, Samples, stacked
from toolkit.export import export
from toolkit.export.graph import check
from toolkit.package import SUFFIX, ModelPackage
from toolkit.progress import Progress, silent
from toolkit.quantize.ending import QuantizeFailedError, QuantizeStoppedError
from toolkit.quantize.labels import note_of, unread, with_labels
from toolkit.quantize.layout import random_samples, read_runs
from toolkit.quantize.preparing import prepare
from toolkit.quantize.report import WITHOUT_LABELS, Limits, QuantizeReport
from toolkit.quantize.trials import SearchOptions
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tasks import TaskSpec
from toolkit.tensors import Array, Feeds, check_tensors

PREPARED = 1e-4
"""Most that preparing a file may move an output, absolutely and as a share of the largest one."""

COMPARED = 4
"""Samples that the prepared file is compared with the given one on."""

REFERENCE_ROWS = 4
"""Rows of the data that the prepared file is recorded with."""


def quantize_file(
    file: Path,
    data: str | Path | Samples | None,
    output: str | Path | None,
    *,
    label_column: str = "",
    random_inputs: bool = False,
    limits: Limits | None = None,
    search: SearchOptions | None = None,
    options: SessionOptions | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> QuantizeReport:
    """Write the best quantized copy of a file that keeps its promises on the user's data.

    Without labels nothing says what the outputs mean, so each is held to its closeness to the
    file's own: see `WITHOUT_LABELS`. With them, see `with_labels`. A model that takes a state and
    gives the next one is also run step by step.
    The copy needs no session configuration.

    Args:
        file: The `.onnx` file.
        data: An `.npz` with an array for each graph input; see `read_runs`. Of samples that were
            read already, labels are not looked at.
        output: The `.onnx` file to write.
        label_column: The array of `data` that holds labels, if any.
        random_inputs: Make inputs up, with the search's seed, instead of reading data.
        limits: What a candidate must keep.
        search: How the search goes.
        options: Threads and the like.
        force: Replace the file at `output`.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The file or the data is not usable, the file is quantized already, or the output
            is the file itself, or stands there and `force` is not given.
        CheckFailedError: No candidate kept its promises; nothing was written.
        StoppedError: The search was interrupted after a candidate had passed, which was written.
    """
    settings = search or SearchOptions()
    target = _checked_output(file, output, force=force)
    replaced = target.exists()
    with tempfile.TemporaryDirectory() as folder:
        progress(f"preparing {file.name}")
        prepared = Path(folder) / "prepared.onnx"
        notes = list(prepare(file, prepared))
        session = open_session(prepared, replace(options or SessionOptions(), spinning=False))
        samples, meaning = _samples(
            file,
            session,
            data,
            column=label_column,
            random_inputs=random_inputs,
            seed=settings.seed,
            notes=notes,
        )
        _compare(file, session, samples, options or SessionOptions())
        package = Path(folder) / f"bare{SUFFIX}"
        export(prepared, package, reference=_reference(session, samples), progress=silent)
        try:
            report = _search(
                package,
                samples,
                limits=limits or (WITHOUT_LABELS if samples.targets is None else Limits()),
                search=replace(settings, without_config=True, meaning=meaning),
                options=options,
                progress=progress,
            )
        except QuantizeFailedError as error:
            failed = replace(error.report, package=file, notes=tuple(notes))
            raise QuantizeFailedError(failed) from error
        except QuantizeStoppedError as error:
            _write(package, error.report, target)
            stopped = _told(error.report, file, target, notes, replaced=replaced)
            raise QuantizeStoppedError(stopped) from error
        _write(package, report, target)
    progress(f"wrote {target}")
    return _told(report, file, target, notes, replaced=replaced)


def _search(
    package: Path,
    samples: Samples,
    *,
    limits: Limits,
    search: SearchOptions,
    options: SessionOptions | None,
    progress: Progress,
) -> QuantizeReport:
    from toolkit.quantize.search import quantize

    return quantize(
        package,
        samples,
        limits=limits,
        reading=SampleOptions(labels=samples.targets is not None),
        search=search,
        options=options,
        progress=progress,
    )


def _checked_output(file: Path, output: str | Path | None, *, force: bool) -> Path:
    if output is None:
        raise InputError(
            f"{file} is a bare model: nothing says where the quantized one goes",
            expected="-o FILE.onnx",
            fix=f"-o {file.with_suffix('')}.int8.onnx",
        )
    target = Path(output)
    if target.suffix.lower() != ".onnx":
        raise InputError(
            f"{target} is no name for a model file",
            expected="a name that ends in .onnx",
            fix=f"-o {target}.onnx",
        )
    if target.exists() and file.exists() and target.samefile(file):
        raise InputError(
            f"{target} is the model that it is made from", expected="another path for -o"
        )
    if target.is_dir() or (target.exists() and not force):
        raise InputError(
            f"{target} exists already",
            expected="a path that does not exist yet",
            fix="pass --force to replace it, or another -o",
        )
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is no folder", expected="a folder that exists for -o")
    return target


def _samples(
    file: Path,
    session: Session,
    data: str | Path | Samples | None,
    *,
    column: str,
    random_inputs: bool,
    seed: int,
    notes: list[str],
) -> tuple[Samples, TaskSpec | None]:
    """The samples, what their labels say of the outputs, and notes on both."""
    if (data is None) != random_inputs:
        raise InputError(
            f"{file} has to be judged on data"
            if data is None
            else "random inputs were asked for beside data",
            expected="either data or --random-inputs, which proves little",
            fix="--data FILE.npz, with an array for each graph input",
        )
    if data is None:
        if column:
            raise InputError(
                f"random inputs have no labels {column!r}",
                expected="data, for labels",
                fix="--data FILE.npz, with an array for each graph input and one of labels",
            )
        samples = random_samples(session, seed=seed)
        notes.append(
            f"every promise was checked on {len(samples)} random inputs of seed {seed}, and on no "
            "data: it may not hold on real inputs"
        )
        return samples, None
    if isinstance(data, Samples):
        return _unlabeled(data, column, notes), None
    samples, arrays = read_runs(Path(data), session)
    if not column:
        notes += filter(None, [unread(arrays, session)])
        return samples, None
    samples, meaning = with_labels(samples, arrays, column, session, origin=Path(data))
    notes.append(note_of(meaning, column))
    return samples, meaning


def _unlabeled(samples: Samples, column: str, notes: list[str]) -> Samples:
    """Samples that were read already, without labels: nothing says which output they belong to."""
    if column:
        raise InputError(
            f"labels {column!r} were named, and the samples were read already: they have no arrays",
            expected="a file, where labels count",
            fix="pass the path of an .npz with an array for each graph input and one of labels",
        )
    if samples.targets is not None:
        notes.append("the samples' labels were not looked at: pass the path of an .npz instead")
    return replace(samples, targets=None)


def _reference(session: Session, samples: Samples) -> Mapping[str, Array]:
    """Feeds to record: a few rows, or one whole run."""
    try:
        return stacked(samples.items[:REFERENCE_ROWS], session.inputs)
    except InputError:
        return stacked(samples.items[:1], session.inputs)


def _compare(file: Path, session: Session, samples: Samples, options: SessionOptions) -> None:
    """Hold the prepared file against the given one, whose extra inputs have defaults."""
    given = open_session(file, replace(options, spinning=False))
    for item in samples.items[:COMPARED]:
        feeds: Feeds = stacked([item], session.inputs)
        wanted = given.run(feeds)
        check_tensors(wanted)
        found = compare_outputs(wanted, session.run(feeds))
        largest = max(
            (
                float(np.abs(value.astype(np.float64)).max(initial=0.0))
                for value in map(np.asarray, wanted.values())
                if value.dtype.kind in "fiu"
            ),
            default=0.0,
        )
        if not found.within(PREPARED * max(1.0, largest)):
            raise CheckFailedError(
                f"{file} computes something else once it is prepared: {found}",
                expected=f"a difference of at most {PREPARED:g}",
                fix="export it again, with its weights as initializers",
            )


def _write(package: Path, report: QuantizeReport, target: Path) -> None:
    """Put the chosen variant where it shall stand, after a last look at it."""
    variant = ModelPackage.open(package).variant(report.chosen)
    check(variant.model, full=False)
    made = variant.model.read_bytes()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        staged = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(made)
            staged.chmod(0o644)
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}",
            expected="room and permission to write; nothing was changed",
        ) from error


def _told(
    report: QuantizeReport, file: Path, target: Path, notes: list[str], *, replaced: bool
) -> QuantizeReport:
    return replace(
        report, package=file, output=target, notes=tuple(notes), replaced=replaced, preferred=False
    )
