"""The folder `model/` of every bundle: graph, preprocessing, reference cases and the document."""

import shutil
from dataclasses import dataclass
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
from toolkit.bundle.sizes import check_graph_size
from toolkit.bundle.trimming import read_texts, trim_vocabulary
from toolkit.compiling.prepared import prepare
from toolkit.errors import InputError
from toolkit.package import ModelPackage, Variant
from toolkit.package.integrity import file_hashes
from toolkit.progress import Progress
from toolkit.runtime import SessionOptions, open_session
from toolkit.tasks import TaskSpec, open_task
from toolkit.tasks.tabular import Column, FeatureTable
from toolkit.tasks.text import fixed_length, input_fields, open_tokenizer, shortened
from toolkit.tensors import TensorSpec

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class Content:
    """What `model/` holds.

    Attributes:
        model: What its document says.
        notes: What was done to the model on the way, for people.
    """

    model: AppModel
    notes: tuple[str, ...] = ()


def write_content(
    package: ModelPackage,
    variant: Variant,
    target: Target,
    options: BundleOptions,
    folder: Path,
    *,
    progress: Progress,
) -> Content:
    """Write `model/` into a bundle's folder.

    Args:
        package: The package.
        variant: The variant to bundle.
        target: What the bundle is for.
        options: What the user asked for.
        folder: The bundle's folder.
        progress: Told of each thing that begins.

    Raises:
        InputError: The graph cannot be loaded or has no such dimension, the package has no
            reference inputs, the vocabulary cannot be trimmed, or the graph is larger than what the
            target can load.
        CheckFailedError: The graph answers NaN or infinity, or other things after trimming.
    """
    place = folder / FOLDER
    place.mkdir()
    spec = package.contents.task
    texts = None if options.trim is None else read_texts(options.trim, spec)
    _write_graph(package, variant, target, options, place)
    preprocessing = _preprocessing(package, place)
    notes = []
    if texts is not None:
        progress("trimming the vocabulary")
        trimmed = trim_vocabulary(
            place / GRAPH,
            place / TOKENIZER,
            spec,
            texts,
            precision=variant.contents.precision,
            session_options=variant.untuned_options,
        )
        spec = trimmed.task
        notes.append(trimmed.note)
    check_graph_size(
        _size(place), target.largest_bytes, f"the variant {variant.name!r}", package.path
    )
    progress("reference cases")
    session = open_session(place / GRAPH, SessionOptions(threads=1), config=variant.untuned_options)
    task = open_task(spec, preprocessing, session.inputs)
    self_test = write_cases(
        package,
        session,
        task,
        variant.contents.precision,
        place / TENSORS,
        instead=texts or (),  # the tokens in reference tensors have other ids now
    )
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
        text=_text(spec, session.inputs),
        columns=_columns(package),
        image=spec.image,
        session_options=variant.untuned_options,
        self_test=self_test,
    )
    document.write(place / DOCUMENT)
    return Content(model=document, notes=tuple(notes))


def _size(place: Path) -> int:
    """Bytes of the graph with its weights, before cases and document lie beside it."""
    files = (file for file in place.rglob("*") if file.is_file() and file != place / TOKENIZER)
    return sum(file.stat().st_size for file in files)


def _write_graph(
    package: ModelPackage, variant: Variant, target: Target, options: BundleOptions, place: Path
) -> None:
    model = package.verified(variant)
    # Of fixed sizes it is one file, weights included: sessions made from bytes find no second one.
    if options.fix_shapes or target.needs_fixed_shapes:
        prepare(model, place / GRAPH, options.fix_shapes)
        return
    for name in variant.contents.files:
        source = model.parent / name
        copied = place / (GRAPH if source == model else name)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)


def _preprocessing(package: ModelPackage, place: Path) -> Path | None:
    """The folder with the files of pre- and post-processing; a tokenizer's is the bundle's own."""
    spec = package.contents.task
    folder = package.asset("preprocessing")
    if spec.text is None:
        return folder
    if folder is None:
        raise InputError(f"{package.path} has no tokenizer", fix="export the package again")
    tokenizer = open_tokenizer(folder / TOKENIZER, spec.text)
    tokenizer.no_padding()  # apps pad and cut as the document says, in any language
    tokenizer.no_truncation()
    (place / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
    return place


def _text(task: TaskSpec, inputs: tuple[TensorSpec, ...]) -> Text | None:
    spec = task.text
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
