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
from toolkit.tasks import Task
from toolkit.tensors import Array, Feeds

MOST = 10
"""Cases of one bundle: enough to meet accents, punctuation and pairs; few enough for a phone."""

LIMITS = {"fp32": 1e-5, "fp16": 1e-2}
"""Largest difference by precision, times the largest output but at least 1. Other processors sum
in another order: 2e-6 was the most seen of fp32 on arm64, WebAssembly and x86-64."""

QUANTIZED_LIMIT = 2e-2
"""The same for integers: where a value lies between two of them, a device may take the other."""

ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True)
class _Asked:
    item: object
    feeds: Feeds


def limit_of(precision: str, largest: float) -> float:
    """The difference that a device may have from this machine.

    Args:
        precision: Of the variant.
        largest: The largest absolute value among the outputs.
    """
    return LIMITS.get(precision, QUANTIZED_LIMIT) * max(1.0, largest)


def write_cases(
    package: ModelPackage, session: Session, task: Task, precision: str, file: Path
) -> SelfTest:
    """Run the reference inputs one by one, and write what went in and came out.

    Args:
        package: Where the reference inputs are.
        session: The bundled graph.
        task: Its pre- and post-processing.
        precision: Of the variant; sets the limit.
        file: Where the tensors go.

    Raises:
        InputError: The package has no reference inputs.
        CheckFailedError: The graph answers NaN or infinity.
    """
    cases: list[Case] = []
    largest = 0.0
    with file.open("wb") as stream:
        for asked in _asked(package, session, task):
            outputs = session.run(asked.feeds)
            for name, array in outputs.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise CheckFailedError(
                        f"the output {name!r} of reference case {len(cases) + 1} is not finite",
                        expected="numbers that a device can be compared with",
                        fix=f"toolkit validate {package.path}",
                    )
                if array.dtype.kind == "f" and array.size:
                    largest = max(largest, float(np.abs(array).max()))
            result = task.decode(outputs)[0] if asked.item is not None else None
            cases.append(
                Case(
                    item=asked.item,
                    inputs=tuple(_stored(stream, asked.feeds)),
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


def _asked(package: ModelPackage, session: Session, task: Task) -> Iterator[_Asked]:
    items = _items(package)
    if items is not None:
        has_pixels = package.contents.task.image is not None
        for item in items[:MOST]:
            one = item
            if isinstance(item, list):
                one = np.array(item, np.uint8) if has_pixels else tuple(item)
            yield _Asked(item=item, feeds=task.encode([one]))
        return
    feeds = reference_feeds(package)
    rows = {array.shape[0] if array.ndim else None for array in feeds.values()}
    count = next(iter(rows)) if len(rows) == 1 else None
    # One row at a time where rows are a batch that may have any size, or has the size 1.
    if count is None or fixed_rows(session.inputs) not in {None, 1}:
        yield _Asked(item=None, feeds=feeds)
        return
    for row in range(min(count, MOST)):
        yield _Asked(item=None, feeds={name: array[row : row + 1] for name, array in feeds.items()})


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
