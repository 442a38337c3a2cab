"""`model/model.json` as C source: what the program of a C bundle knows of its model."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.bundle.c_source import HEADER, array, braces, definition, quoted, quoted_length
from toolkit.bundle.document import DOCUMENT, AppModel, Case, StoredTensor
from toolkit.errors import InputError
from toolkit.tasks.specification import ImageSpec
from toolkit.tasks.tabular import NumericColumn
from toolkit.tensors import TensorSpec

MAX_RANK = 8
"""Axes of a tensor, as `src/model_data.h` has it."""

MOST_VALUES = 1024
"""Numbers of an answer that the program's source holds, for the self-test; all but large embeddings
have fewer, and their shape is compared whole."""

_BITS = (8, 16, 32, 64)
_TYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "float16": "FLOAT16",
    "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind}{bits}".upper() for kind in ("int", "uint") for bits in _BITS},
}
_FIELDS = {"ids": "FIELD_IDS", "attention_mask": "FIELD_MASK", "type_ids": "FIELD_TYPES"}
_CELL = "struct model_cell"


def check_model(model: AppModel) -> None:
    """Refuse tensors that the C program has no code for.

    Raises:
        InputError: An input or output has such a type or too many axes, preprocessing makes
            another type than an input has, or images have no size.
    """
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype not in _TYPES or len(spec.shape) > MAX_RANK:
            raise InputError(
                f"the tensor {spec.name!r} is {spec}, which the target c has no code for",
                expected=f"numbers or truth values with at most {MAX_RANK} axes",
                fix="--target python",
            )
    for spec in model.inputs:
        made = _made(model, spec)
        if made and spec.dtype not in made:
            raise InputError(
                f"the graph input {spec.name!r} is {spec}, which the target c cannot fill",
                expected=" or ".join(made),
                fix="--target python",
            )
    if model.image is not None and len(model.inputs) > 1:
        raise InputError(
            f"the model takes {', '.join(spec.name for spec in model.inputs)} of an image",
            expected="one input, the pixels, which is what the target c fills",
            fix="--target python",
        )
    if model.image is not None and not (model.image.height and model.image.width):
        raise InputError(
            "the model takes images of any size, which the target c has no code for",
            expected="a graph with a fixed height and width",
            fix="--fix-shapes height=H,width=W, or --target python",
        )


def _made(model: AppModel, spec: TensorSpec) -> Sequence[str]:
    """Types that `src/encode.c` can write into an input; none for those that it leaves alone."""
    if model.text is not None or (model.columns is not None and spec.name == "categorical"):
        return ("int64", "int32")
    return ("float32",) if model.columns is not None or model.image is not None else ()


def model_source(model: AppModel, document_sha256: str) -> str:
    """The definition of `model_data`.

    Args:
        model: What the program is told.
        document_sha256: Of `model.json`, which cannot hold its own. The program does not read it,
            but other programs in its place may.
    """
    files = {**model.files, DOCUMENT: document_sha256}
    task = model.task
    parts = [
        HEADER,
        '#include <math.h>\n\n#include "model_data.h"\n',
        *(["extern const struct tokenizer_data tokenizer_data;\n"] if model.text else []),
        array("char *const", "labels", map(quoted, task.labels)),
        array("struct tensor_data", "inputs", _tensors(model, model.inputs)),
        array("struct tensor_data", "outputs", _tensors(model, model.outputs)),
        array("struct file_data", "files", _named(files)),
        array("struct setting_data", "settings", _named(model.session_options)),
        *_columns(model),
        *_image(model),
        *_cases(model),
    ]
    text = model.text
    members: dict[str, object] = {
        "name": quoted(model.name),
        "variant": quoted(model.variant),
        "graph": quoted(model.graph),
        "self_test_file": quoted(model.self_test.file),
        "task": _task(model),
        "labels": "labels",
        "label_count": len(task.labels),
        "output": quoted(task.output),
        "activation": quoted(task.activation),
        "multi_label": _truth(task.multi_label),
        "value_is_exp": _truth(task.value_transform == "exp"),
        "inputs": "inputs",
        "outputs": "outputs",
        "input_count": len(model.inputs),
        "output_count": len(model.outputs),
        "tokenizer": "&tokenizer_data" if text else "NULL",
        "columns": "columns",
        "image": "&image" if model.image else "NULL",
        "column_count": len(model.columns or ()),
        "max_length": text.max_length if text else 0,
        "length": text.length if text else 0,
        "pad_id": text.pad_id if text else 0,
        "files": "files",
        "file_count": len(files),
        "settings": "settings",
        "setting_count": len(model.session_options),
        "cases": "cases",
        "case_count": len(model.self_test.cases),
        "limit": _number(model.self_test.limit),
    }
    return "\n".join([*parts, definition("struct model_data", "model_data", members)])


def _task(model: AppModel) -> str:
    if model.task.name == "tensors" or not model.task.output:
        return "TASK_TENSORS"
    if model.task.name == "feature-extraction":
        return "TASK_EMBEDDING"
    return "TASK_CLASSES" if model.task.labels else "TASK_VALUE"


def _tensors(model: AppModel, specs: Iterable[TensorSpec]) -> Iterator[str]:
    takes = model.text.inputs if model.text else {}
    for spec in specs:
        field = _FIELDS[takes[spec.name]] if spec.name in takes else "FIELD_NONE"
        yield braces(quoted(spec.name), _type(spec.dtype), field)


def _named(values: Mapping[str, str]) -> Iterator[str]:
    return (braces(quoted(name), quoted(value)) for name, value in values.items())


def _type(dtype: str) -> str:
    return f"ONNX_TENSOR_ELEMENT_DATA_TYPE_{_TYPES[dtype]}"


def _number(value: float | None) -> str:
    """A constant that reads back as the very same double; NaN for none and where none is finite."""
    return "NAN" if value is None or not math.isfinite(value) else repr(float(value))


def _columns(model: AppModel) -> Iterator[str]:
    entries = []
    for place, column in enumerate(model.columns or ()):
        if isinstance(column, NumericColumn):
            entries.append(braces(quoted(column.name), _number(column.fill), "NULL", 0, "false"))
            continue
        yield array("char *const", f"levels_{place}", map(quoted, column.levels))
        others = _truth(column.unknown == "other")
        count = len(column.levels)
        entries.append(braces(quoted(column.name), "NAN", f"levels_{place}", count, others))
    yield array("struct column_data", "columns", entries)


def _image(model: AppModel) -> Iterator[str]:
    image = model.image
    if image is None:
        return
    # Rounded to float32 here, so that no compiler has to.
    mean, deviation = (
        [_number(float(np.float32(value))) for value in values]
        for values in (image.mean, image.std)
    )
    yield array("float", "mean", mean)
    yield array("float", "deviation", deviation)
    scale = _number(float(np.float32(image.scale)))
    entry = braces(image.height, image.width, len(image.mode), scale, "mean", "deviation")
    yield f"static const struct image_data image = {entry};\n"


def _cases(model: AppModel) -> Iterator[str]:
    entries = []
    for place, case in enumerate(model.self_test.cases):
        yield array("struct stored_data", f"inputs_{place}", map(_stored, ordered(model, case)))
        yield array("struct stored_data", f"outputs_{place}", map(_stored, _answers(model, case)))
        row = pixels = "NULL"
        texts = ["NULL", "NULL", 0, 0]
        if model.text is not None and case.item is not None:
            texts = _texts(case.item)
        elif model.columns is not None and isinstance(case.item, dict):
            yield array(_CELL, f"row_{place}", _cells(model, case.item))
            row = f"row_{place}"
        elif model.image is not None and case.item is not None:
            yield array("uint8_t", f"pixels_{place}", map(str, pixel_bytes(model.image, case.item)))
            pixels = f"pixels_{place}"
        answer = "NULL"
        if isinstance(case.result, dict) and _task(model) != "TASK_TENSORS":
            yield from _answer(model, case.result, place)
            answer = f"&answer_{place}"
        tensors = (f"inputs_{place}", f"outputs_{place}")
        entries.append(braces(*texts, row, pixels, *tensors, answer))
    yield array("struct case_data", "cases", entries)


def _answer(model: AppModel, result: Mapping[str, Any], place: int) -> Iterator[str]:
    """What `task.decode` made of the case, as `answer_0` and so on."""
    labels, best, chosen = model.task.labels, 0, "NULL"
    if _task(model) == "TASK_CLASSES":
        values = np.array([result["scores"][label] for label in labels])
        best = labels.index(result["label"])
        if model.task.multi_label:
            yield array(
                "bool", f"chosen_{place}", (_truth(name in result["labels"]) for name in labels)
            )
            chosen = f"chosen_{place}"
    else:
        values = np.array(result["value" if "value" in result else "embedding"], np.float64)
    kept = [_number(value) for value in values.reshape(-1)[:MOST_VALUES].tolist()]
    yield array("double", f"values_{place}", kept)
    members = (braces(*(values.shape or (0,))), values.ndim, f"values_{place}", len(kept))
    entry = braces(*members, best, chosen)
    yield f"static const struct answer_data answer_{place} = {entry};\n"


def _truth(value: bool) -> str:
    return str(value).lower()


def pixel_bytes(image: ImageSpec, item: object) -> bytes:
    """The bytes of [height, width, channels]; a gray picture's one value stands for each."""
    pixels = np.atleast_3d(np.array(item, np.uint8))
    whole = np.broadcast_to(pixels, (image.height, image.width, len(image.mode)))
    return whole.tobytes()


def ordered(model: AppModel, case: Case) -> Sequence[StoredTensor]:
    """A case's inputs in the order of the graph's."""
    stored = {one.name: one for one in case.inputs}
    return [stored[spec.name] for spec in model.inputs]


def _answers(model: AppModel, case: Case) -> Sequence[StoredTensor]:
    stored = {one.name: one for one in case.outputs}
    return [stored[spec.name] for spec in model.outputs]


def _stored(one: StoredTensor) -> str:
    shape = braces(*(one.shape or (0,)))
    return braces(quoted(one.name), _type(one.dtype), shape, len(one.shape), one.offset, one.bytes)


def _texts(item: object) -> list[object]:
    first, second = (item, None) if isinstance(item, str) else _pair(item)
    text, length = quoted_length(first).rsplit(", ", 1)
    if second is None:
        return [text, "NULL", length, 0]
    other, other_length = quoted_length(second).rsplit(", ", 1)
    return [text, other, length, other_length]


def _pair(item: object) -> tuple[str, str]:
    parts = [*item.values()] if isinstance(item, dict) else item
    assert isinstance(parts, (list, tuple)), "the package's reference was encoded"
    first, second = parts
    return first, second


def _cells(model: AppModel, row: dict[str, object]) -> Iterator[str]:
    for column in model.columns or ():
        cell = row.get(column.name)
        if isinstance(column, NumericColumn):
            empty = cell is None or cell == ""
            yield braces("NULL", _number(None if empty else float(str(cell))))
        else:
            yield braces(quoted(str(cell)), "NAN")
