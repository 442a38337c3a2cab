"""The self-test of a phone's bundle that can run on this machine: its files, on this CPU."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from toolkit.bundle.document import FOLDER, AppModel, StoredTensor, Text
from toolkit.bundle.mobile import reduced
from toolkit.bundle.mobile.compiled import CompiledTokenizer
from toolkit.bundle.mobile.results import decoded, encoded, same
from toolkit.bundle.report import SelfTestReport
from toolkit.errors import CheckFailedError, InputError
from toolkit.export.libraries import export_extra
from toolkit.machine import installed_versions
from toolkit.runtime import Session, SessionOptions, open_session
from toolkit.tensors import Array


def check_fixed(model: AppModel, target: str) -> None:
    """Refuse a graph some of whose sizes are still open.

    Args:
        model: The document.
        target: Who needs them fixed.

    Raises:
        InputError: A graph input has a symbolic dimension.
    """
    for spec in model.inputs:
        if any(isinstance(size, str) for size in spec.shape):
            raise InputError(
                f"the graph input {spec.name!r} is {spec}, of any size",
                expected=f"fixed sizes, which the execution providers of {target} need",
                fix="--fix-shapes "
                + ",".join(f"{size}=SIZE" for size in spec.shape if isinstance(size, str)),
            )


def check_dtypes(model: AppModel, dtypes: Collection[str], target: str) -> None:
    """Refuse tensors that the target's language cannot make.

    Args:
        model: The document.
        dtypes: Those that it can, in numpy's words.
        target: Whose language.

    Raises:
        InputError: An input or output has another element type.
    """
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype not in dtypes:
            raise InputError(
                f"the tensor {spec.name!r} is {spec.dtype}, which the app for {target} cannot hold",
                expected=f"one of {', '.join(sorted(dtypes))}",
                fix="export the model with a Cast at its inputs and outputs",
            )


def check_inputs(model: AppModel, target: str) -> None:
    """Refuse inputs for pixels and rows of another kind than the apps make.

    Args:
        model: The document, whose inputs have fixed sizes.
        target: Whose app.

    Raises:
        InputError: Pixels do not go into one float32[1, channels, height, width], or numbers not
            into float32.
    """
    image, (first, *more) = model.image, model.inputs
    if image is not None:
        channels = len(image.mode)
        fits = first.dtype == "float32" and first.shape[:2] == (1, channels)
        if more or not fits or len(first.shape) != 4:
            raise InputError(
                f"the graph takes {', '.join(f'{one.name}: {one}' for one in model.inputs)}",
                expected=f"float32[1, {channels}, height, width] alone, which the app for {target} "
                f"makes of pixels in {image.mode}",
                fix="export the model with a Cast at its inputs",
            )
        for name, values in {"mean": image.mean, "std": image.std}.items():
            if len(values) not in {0, channels}:
                raise InputError(
                    f"the {name} of pixels in {image.mode} has {len(values)} numbers",
                    expected=f"{channels}, one a channel, or none",
                    fix="export the package again",
                )
    if model.columns is not None:
        for spec in model.inputs:
            if spec.name == "numeric" and spec.dtype != "float32":
                raise InputError(
                    f"the graph input {spec.name!r} is {spec}",
                    expected=f"float32, which the app for {target} makes of numbers",
                    fix="export the model with a Cast at its inputs",
                )


def check_opset(model: Path, newest: int, reader: str) -> None:
    """Refuse a graph that is newer than the runtime.

    Args:
        model: The `.onnx` file.
        newest: The newest version of ONNX's own operators that it reads.
        reader: The runtime.

    Raises:
        InputError: The graph needs a newer one.
        SetupError: The extra `export` is not installed.
    """
    with export_extra("bundling"):
        import onnx
    proto = onnx.load(model, load_external_data=False)
    for one in proto.opset_import:
        if one.domain in {"", "ai.onnx"} and one.version > newest:
            raise InputError(
                f"the graph has opset {one.version}",
                expected=f"at most {newest}, which is what {reader} reads",
                fix="export the model again with --opset 20",
            )


def check_here(model: AppModel, folder: Path, *, tokenizer: Path, command: str) -> SelfTestReport:
    """Run both graphs of a bundle on the cases, with this machine's ONNX Runtime.

    Args:
        model: The document.
        folder: The bundle's folder.
        tokenizer: Where in it the tokenizer's sources are; read for texts alone.
        command: The self-test's command on a phone.

    Raises:
        CheckFailedError: A file was changed, an item makes other inputs by what the document says,
            or a case's outputs another result; or an output differs by more than the limit.
        SetupError: There is no C compiler for the tokenizer.
    """
    place = folder / FOLDER
    for name, digest in model.files.items():
        if sha256((place / name).read_bytes()).hexdigest() != digest:
            raise _failed(f"{FOLDER}/{name} was changed")
    if model.text is not None:
        _check_tokens(model, model.text, place, CompiledTokenizer(folder / tokenizer))
    _check_document(model, place)
    graphs = [place / model.graph, folder / reduced.FOLDER / reduced.GRAPH]
    largest = max(_difference(model, graph, place) for graph in graphs)
    if not largest <= model.self_test.limit:
        raise _failed(f"the answers differ by {largest:.2g}, more than {model.self_test.limit:.2g}")
    where = (
        f"onnxruntime {_version()} on this machine's CPU, not on a phone "
        f"({model.graph} and {reduced.GRAPH})"
    )
    return SelfTestReport(
        command=command,
        ran=True,
        where=where,
        cases=len(model.self_test.cases),
        largest_difference=largest,
        limit=model.self_test.limit,
    )


def _check_tokens(model: AppModel, text: Text, place: Path, tokenizer: CompiledTokenizer) -> None:
    stored = (place / model.self_test.file).read_bytes()
    for number, case in enumerate(model.self_test.cases, 1):
        if case.item is None:
            continue
        item = case.item
        found = tokenizer([item] if isinstance(item, str) else item, text)  # type: ignore[arg-type]
        feeds = read_tensors(case.inputs, stored)
        if found is None or not _same(feeds, text, *found):
            raise _failed(f"case {number}: the C tokenizer makes other inputs")


def _check_document(model: AppModel, place: Path) -> None:
    """Compare rows, pixels and results; the apps' own code for them runs on phones alone."""
    stored = (place / model.self_test.file).read_bytes()
    for number, case in enumerate(model.self_test.cases, 1):
        if case.item is None:
            continue
        feeds = read_tensors(case.inputs, stored)
        try:
            made = encoded(model, case.item)
        except InputError as error:
            raise _failed(f"case {number}: {error.problem}") from error
        if any(not np.array_equal(feeds[name], array) for name, array in made.items()):
            raise _failed(f"case {number}: the item makes other inputs")
        result = decoded(model, read_tensors(case.outputs, stored), feeds)
        if not same(case.result, result):
            raise _failed(f"case {number}: its outputs make another result")


def _same(feeds: Mapping[str, Array], text: Text, ids: list[int], types: list[int]) -> bool:
    rows = {
        "ids": (ids, text.pad_id),
        "attention_mask": ([1] * len(ids), 0),
        "type_ids": (types, 0),
    }
    padding = max(text.length, len(ids), 1) - len(ids)
    for name, field in text.inputs.items():
        row, filler = rows[field]
        if feeds[name].tolist() != [row + [filler] * padding]:
            return False
    return True


def _version() -> str:
    return next(iter(installed_versions().values()), "")


def _failed(problem: str) -> CheckFailedError:
    return CheckFailedError(
        f"the bundle's self-test failed: {problem}",
        expected="the files and answers that this machine wrote",
        fix="toolkit validate PKG shows whether the package itself is right here",
    )


def _difference(model: AppModel, graph: Path, place: Path) -> float:
    """The largest difference of any output, infinite where one is not a number."""
    try:
        session = open_session(graph, SessionOptions(threads=1), config=model.session_options)
    except InputError as error:
        raise _failed(error.problem) from error
    stored = (place / model.self_test.file).read_bytes()
    return max(
        _of_case(session, read_tensors(case.inputs, stored), read_tensors(case.outputs, stored))
        for case in model.self_test.cases
    )


def _of_case(session: Session, feeds: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    outputs = session.run(dict(feeds))
    largest = 0.0
    for name, wanted in expected.items():
        difference = np.abs(outputs[name].astype(np.float64) - wanted).max(initial=0)
        largest = max(largest, float(difference) if np.isfinite(difference) else float("inf"))
    return largest


def read_tensors(specs: Sequence[StoredTensor], stored: bytes) -> dict[str, Array]:
    """Tensors by name, of the file that holds them.

    Args:
        specs: Where each lies in it.
        stored: `self_test.bin`.
    """
    return {
        one.name: np.frombuffer(
            stored,
            np.dtype(one.dtype).newbyteorder("<"),
            count=int(np.prod(one.shape, dtype=np.int64)),
            offset=one.offset,
        ).reshape(one.shape)
        for one in specs
    }
