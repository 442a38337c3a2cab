"""The reference cases that travel in a bundle, one input at a time as an app runs them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from toolkit.bundle.document import Case, SelfTest, StoredTensor
from toolkit.errors import CheckFailedError, InputError
from toolkit.evaluate.validation import reference_feeds
from toolkit.package import ModelPackage
from toolkit.rows import fixed_rows
from toolkit.runtime import Session
from toolkit.tasks import Batch, ResizeSpec, Task
from toolkit.tasks.image import new_size
from toolkit.tasks.text import PAIR_FIELDS
from toolkit.tensors import Array

MOST = 10
"""Cases of one bundle: enough to meet accents, punctuation and pairs; few enough for a phone."""

LIMITS = {"fp32": 1e-5, "fp16": 1e-2}
"""Largest difference by precision, times the largest output but at least 1. Other processors sum
in another order: 2e-6 was the most seen of fp32 on arm64, WebAssembly and x86-64."""

QUANTIZED_LIMIT = 5e-2
"""The same for integers: where a value lies between two of them, a device may take the other, and
what follows moves with it. Logits up to 2.4 of a row-wise int8 MiniLM moved by 0.089 in
WebAssembly, and by as much on one machine when its norms' weights were moved by one rounding."""

ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True)
class _Asked:
    item: object
    batch: Batch


def limit_of(precision: str, largest: float) -> float:
    """The difference that a device may have from this machine.

    Args:
        precision: Of the variant.
        largest: The largest absolute value among the outputs.
    """
    return LIMITS.get(precision, QUANTIZED_LIMIT) * max(1.0, largest)


def write_cases(
    package: ModelPackage,
    session: Session,
    task: Task,
    precision: str,
    file: Path,
    *,
    instead: Sequence[object] = (),
) -> SelfTest:
    """Run the reference inputs one by one, and write what went in and came out.

    Args:
        package: Where the reference inputs are.
        session: The bundled graph.
        task: Its pre- and post-processing.
        precision: Of the variant; sets the limit.
        file: Where the tensors go.
        instead: Items for a package that has none of its own, in place of its reference tensors.

    Raises:
        InputError: The package has no reference inputs.
        CheckFailedError: The graph answers NaN or infinity.
    """
    cases: list[Case] = []
    largest = 0.0
    with file.open("wb") as stream:
        for asked in _asked(package, session, task, instead):
            outputs = session.run(asked.batch.feeds)
            for name, array in outputs.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise CheckFailedError(
                        f"the output {name!r} of reference case {len(cases) + 1} is not finite",
                        expected="numbers that a device can be compared with",
                        fix=f"toolkit validate {package.path}",
                    )
                if array.dtype.kind == "f" and array.size:
                    largest = max(largest, float(np.abs(array).max()))
            result = task.decode(outputs, asked.batch)[0] if asked.item is not None else None
            cases.append(
                Case(
                    item=asked.item,
                    inputs=tuple(_stored(stream, asked.batch.feeds)),
                    outputs=tuple(_stored(stream, outputs)),
                    result=result,
                )
            )
    if not cases:
        raise InputError(
            f"{package.path} has no reference inputs",
            expected="a package with at least one, for the bundle's self-test",
            fix="export the package again",
        )
    return SelfTest(limit=limit_of(precision, largest), file=file.name, cases=tuple(cases))


def _asked(
    package: ModelPackage, session: Session, task: Task, instead: Sequence[object]
) -> Iterator[_Asked]:
    items = _items(package) or instead
    if items:
        for item in items[:MOST]:
            yield _asked_of(item, task)
        return
    feeds = reference_feeds(package)
    rows = {array.shape[0] if array.ndim else None for array in feeds.values()}
    count = next(iter(rows)) if len(rows) == 1 else None
    # One row at a time where rows are a batch that may have any size, or has the size 1.
    if count is None or fixed_rows(session.inputs) not in {None, 1}:
        yield _Asked(item=None, batch=Batch(feeds))
        return
    for row in range(min(count, MOST)):
        one = {name: array[row : row + 1] for name, array in feeds.items()}
        yield _Asked(item=None, batch=Batch(one))


def _asked_of(item: object, task: Task) -> _Asked:
    image = task.specification.image
    if image is None:
        if task.specification.text is not None and isinstance(item, dict):
            item = [item[name] for name in PAIR_FIELDS]
        given = tuple(item) if isinstance(item, list) else item
        return _Asked(item=item, batch=task.prepare([given]))
    pixels = np.asarray(item, np.uint8)
    batch = task.prepare([pixels])
    height, width = pixels.shape[:2]
    # Apps resize nothing: of a picture that has another size they are given the tensor.
    resize = image.resize or ResizeSpec(height=height, width=width)
    is_whole = new_size(height, width, resize) == (height, width)
    fits = is_whole and next(iter(batch.feeds.values())).shape[2:] == (height, width)
    return _Asked(item=item if fits else None, batch=batch)


def _items(package: ModelPackage) -> Sequence[object] | None:
    """The items behind the reference inputs; None where they are tensors alone."""
    folder = package.asset("reference")
    file = None if folder is None else folder / "items.json"
    if file is None or not file.is_file():
        return None
    items = json.loads(file.read_text(encoding="utf-8"))
    return items if isinstance(items, list) and items else None


def _stored(stream: BinaryIO, tensors: Mapping[str, Array]) -> Iterator[StoredTensor]:
    for name, array in tensors.items():
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"the tensor {name!r} is {array.dtype}",
                expected="numbers or truth values, which every app can read",
            )
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        stream.write(b"\0" * (-stream.tell() % ALIGNMENT))
        yield StoredTensor(
            name=name,
            dtype=array.dtype.name,
            shape=array.shape,
            offset=stream.tell(),
            bytes=len(content),
        )
        stream.write(content)
