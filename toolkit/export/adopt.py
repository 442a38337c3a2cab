"""Taking an `.onnx` file into a package as it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import CheckFailedError, InputError
from toolkit.evaluate.parity import Parity, compare_outputs
from toolkit.export import graph
from toolkit.export.floats import has_quantizers
from toolkit.export.libraries import export_extra
from toolkit.package.integrity import portable
from toolkit.package.write import MODEL_FILE
from toolkit.runtime import Session
from toolkit.tensors import Array, check_feeds, check_tensors, make_feeds

if TYPE_CHECKING:
    from onnx import ModelProto

_ROWS = 4


def copy_model(file: Path, folder: Path) -> str:
    """Copy a model and its external data, unchanged, after checking both.

    Args:
        file: The `.onnx` file.
        folder: Where `model.onnx` and the data go.

    Returns:
        The model's precision: "fp32", "fp16" or "int8".

    Raises:
        InputError: The file is missing, empty, damaged or no valid model, or its external data is
            missing or lies outside its folder.
        SetupError: onnx is not installed.
    """
    model = _read(file)
    for location in sorted(_external_files(model)):
        data = file.parent / portable(location, named_in=file)
        inside = data.resolve().is_relative_to(file.parent.resolve())
        if not (inside and data.is_file()) or location == MODEL_FILE:
            raise InputError(
                f"{file} names the external data {location!r}, "
                f"which {'does not exist' if inside else 'lies outside its folder'}",
                expected="a file beside the model",
            )
        target = folder / portable(location, named_in=file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, target)
    graph.check(file, full=False)
    shutil.copyfile(file, folder / MODEL_FILE)
    return _precision(model)


def reference(
    session: Session, file: Path, given: Mapping[str, Array] | None, *, seed: int
) -> tuple[dict[str, Array], dict[str, Array], Parity]:
    """Reference feeds, the model's outputs for them, and how well it repeats itself.

    Args:
        session: The adopted model.
        file: Where it came from.
        given: Feeds to record; seeded random ones when not given.
        seed: Seed of those.

    Raises:
        InputError: The given feeds do not fit, the model does not run on made-up ones, or it
            gives something other than tensors.
        CheckFailedError: Two runs on the same feeds differ.
    """
    if given is not None:
        check_feeds(given, session.inputs, source=str(file), allow_non_finite=True)
        feeds = dict(given)
        outputs = session.run(feeds)
    else:
        feeds = make_feeds(session.inputs, sizes={}, seed=seed, default=_ROWS)
        try:
            outputs = session.run(feeds)
        except InputError as error:
            raise InputError(
                f"{file} does not run on made-up feeds of size {_ROWS}: {error}",
                expected="feeds that suit the model, to record as its reference",
                fix="toolkit export MODEL.onnx -o PKG --reference FEEDS.npz   (one array an input)",
            ) from error
    check_tensors(outputs)
    parity = compare_outputs(outputs, session.run(feeds))
    if not parity.within(0.0):
        raise CheckFailedError(
            f"{file} gives other outputs for the same feeds: {parity}",
            expected="a model that repeats itself, without random operators",
        )
    return feeds, outputs, parity


def _read(file: Path) -> ModelProto:
    with export_extra():
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}", expected="an .onnx file"
        ) from error
    if not content:
        raise InputError(f"{file} is empty", expected="an .onnx file")
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise InputError(
            f"{file} is truncated or no ONNX model: {error}", expected="an .onnx file"
        ) from error
    if not model.ir_version or not model.graph.node:
        raise InputError(f"{file} holds no ONNX graph", expected="an .onnx file")
    return model


def _external_files(model: ModelProto) -> set[str]:
    from onnx import TensorProto

    return {
        entry.value
        for tensor in graph.tensors(model)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _precision(model: ModelProto) -> str:
    from onnx import TensorProto

    if has_quantizers(model):
        return "int8"
    sizes = {TensorProto.FLOAT: 0, TensorProto.FLOAT16: 0}
    for tensor in model.graph.initializer:
        if tensor.data_type in sizes:
            elements = 1
            for size in tensor.dims:
                elements *= size
            sizes[tensor.data_type] += elements
    return "fp16" if sizes[TensorProto.FLOAT16] > sizes[TensorProto.FLOAT] else "fp32"
