"""The folder `model/` of every bundle: graph, preprocessing, reference cases and the document."""

import shutil
from pathlib import Path

from toolkit.bundle.cases import write_cases
from toolkit.bundle.document import (
    DOCUMENT,
    FOLDER,
    GRAPH,
    TENSORS,
    AppModel,
    AppTask,
    Text,
)
from toolkit.bundle.job import BundleOptions, Target
from toolkit.compiling.prepared import prepare
from toolkit.errors import InputError
from toolkit.package import ModelPackage, Variant
from toolkit.package.integrity import file_hashes
from toolkit.progress import Progress
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import Task, open_task
from toolkit.tasks.tabular import Column, FeatureTable
from toolkit.tasks.text import fixed_length, input_fields, open_tokenizer, shortened
from toolkit.tensors import TensorSpec

TOKENIZER = "tokenizer.json"


def write_content(
    package: ModelPackage,
    variant: Variant,
    target: Target,
    options: BundleOptions,
    folder: Path,
    *,
    progress: Progress,
) -> AppModel:
    """Write `model/` into a bundle's folder, and return what its document says.

    Args:
        package: The package.
        variant: The variant to bundle.
        target: What the bundle is for.
        options: What the user asked for.
        folder: The bundle's folder.
        progress: Told of each thing that begins.

    Raises:
        InputError: The graph cannot be loaded or has no such dimension, or the package has no
            reference inputs.
        CheckFailedError: The graph answers NaN or infinity.
    """
    place = folder / FOLDER
    place.mkdir()
    _write_graph(package, variant, options, place)
    progress("reference cases")
    session = open_session(place / GRAPH, SessionOptions(threads=1), config=variant.session_options)
    spec = package.contents.task
    task = _task(package, place, session.inputs)
    self_test = write_cases(package, session, task, variant.contents.precision, place / TENSORS)
    document = AppModel(
        name=package.manifest.package_name,
        version=package.manifest.package_version,
        variant=variant.name,
        precision=variant.contents.precision,
        target=target.name,
        graph=GRAPH,
        files=file_hashes(place),
        task=AppTask(
            name=spec.name,
            labels=spec.labels,
            output=spec.output,
            activation=spec.activation,
            multi_label=spec.multi_label,
            value_transform=spec.value_transform,
        ),
        inputs=session.inputs,
        outputs=session.outputs,
        text=_text(package, session.inputs),
        columns=_columns(package),
        image=spec.image,
        session_options=dict(variant.session_options),
        self_test=self_test,
    )
    document.write(place / DOCUMENT)
    return document


def _write_graph(
    package: ModelPackage, variant: Variant, options: BundleOptions, place: Path
) -> None:
    model = package.verified(variant)
    if options.fix_shapes:
        prepare(model, place / GRAPH, options.fix_shapes)
        return
    for name in variant.contents.files:
        source = model.parent / name
        copied = place / (GRAPH if source == model else name)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)


def _task(package: ModelPackage, place: Path, inputs: tuple[TensorSpec, ...]) -> Task:
    """Pre- and post-processing with the files that the bundle carries."""
    spec = package.contents.task
    preprocessing = package.asset("preprocessing")
    if spec.text is not None:
        if preprocessing is None:
            raise InputError(f"{package.path} has no tokenizer", fix="export the package again")
        tokenizer = open_tokenizer(preprocessing / TOKENIZER, spec.text)
        tokenizer.no_padding()  # apps pad and cut as the document says, in any language
        tokenizer.no_truncation()
        (place / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
        preprocessing = place
    return open_task(spec, preprocessing, inputs)


def _text(package: ModelPackage, inputs: tuple[TensorSpec, ...]) -> Text | None:
    spec = package.contents.task.text
    if spec is None:
        return None
    return Text(
        tokenizer=TOKENIZER,
        max_length=shortened(spec, inputs).max_length,
        length=fixed_length(inputs) or 0,
        pad_id=spec.pad_id,
        inputs={name: field for name, field, _ in input_fields(inputs)},  # type: ignore[misc]
    )


def _columns(package: ModelPackage) -> tuple[Column, ...] | None:
    if not package.contents.task.name.startswith("tabular-"):
        return None
    folder = package.asset("preprocessing")
    if folder is None:
        raise InputError(f"{package.path} has no feature table", fix="export the package again")
    return FeatureTable.read(folder / "features.json").columns
