"""Whether a bundled graph answers differently in company: what a server may batch together."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from toolkit.bundle.document import FOLDER, TENSORS, AppModel, StoredTensor
from toolkit.bundle.job import Job
from toolkit.errors import InputError
from toolkit.runtime import SessionOptions, open_session
from toolkit.tensors import Array

PAD_TO = 16
"""Texts are padded to multiples of this, so that some of them have one length."""

Tensors = dict[str, Array]


def has_batch(model: AppModel) -> bool:
    """Whether the first axis of every input and output is one symbolic dimension."""
    first = {one.shape[0] if one.shape else 0 for one in (*model.inputs, *model.outputs)}
    return len(first) == 1 and isinstance(next(iter(first)), str)


def changed_in_company(job: Job, folder: Path) -> str:
    """Why requests must not be batched; empty where they may.

    First what quantizing recorded of the variant, then what the reference cases answer together.

    Args:
        job: The bundle.
        folder: Where `model/` is complete.
    """
    details = job.variant.contents.details
    counted = {"batch mates": details.get("batch_flips"), **(details.get("flips") or {})}
    for setting, flips in counted.items():
        if flips and ("mates" in setting or "right" in setting):
            return f"{setting} changed {flips} answers when the variant was measured"
    place = folder / FOLDER
    session = open_session(
        place / job.model.graph, SessionOptions(threads=1), config=job.variant.session_options
    )
    for members in _companies(job.model, place / TENSORS):
        feeds = {name: np.concatenate([one[name] for one, _ in members]) for name in members[0][0]}
        try:
            together = session.run(feeds)
        except InputError as error:
            return f"the graph does not take {len(members)} rows at once: {error.problem}"
        largest = _difference(together, [expected for _, expected in members])
        if largest > job.model.self_test.limit:
            return (
                f"{len(members)} reference inputs together differ by {largest:.2g} from each alone"
            )
    return ""


def _companies(model: AppModel, file: Path) -> Iterator[list[tuple[Tensors, Tensors]]]:
    """Cases that have one shape, texts once they are padded to the longest of them."""
    content = file.read_bytes()
    cases = [
        ({one.name: _read(one, content) for one in case.inputs},
         {one.name: _read(one, content) for one in case.outputs})
        for case in model.self_test.cases
    ]  # fmt: skip
    if model.text is not None and not model.text.length:
        fields = model.text.inputs
        longest = max(feeds[name].shape[1] for feeds, _ in cases for name in fields)
        for feeds, _ in cases:
            for name, field in fields.items():
                fill = model.text.pad_id if field == "ids" else 0
                wide = ((0, 0), (0, longest - feeds[name].shape[1]))
                feeds[name] = np.pad(feeds[name], wide, constant_values=fill)
    same: dict[object, list[tuple[Tensors, Tensors]]] = defaultdict(list)
    for feeds, expected in cases:
        same[tuple(array.shape[1:] for array in feeds.values())].append((feeds, expected))
    yield from (members for members in same.values() if len(members) > 1)


def _difference(together: Tensors, expected: list[Tensors]) -> float:
    largest = 0.0
    for name, values in together.items():
        row = 0
        for one in expected:
            want = one[name]
            have = values[row : row + len(want)]
            row += len(want)
            # A text that was padded has more tokens than it had alone.
            have = have[tuple(slice(size) for size in want.shape)]
            if have.shape != want.shape:
                return float("inf")
            apart = np.abs(have.astype(np.float64) - want).max(initial=0)
            largest = max(largest, float(apart) if np.isfinite(apart) else float("inf"))
    return largest


def _read(one: StoredTensor, content: bytes) -> Array:
    dtype = np.dtype(one.dtype).newbyteorder("<")
    count = int(np.prod(one.shape, dtype=int))
    flat = np.frombuffer(content, dtype, offset=one.offset, count=count)
    return flat.reshape(one.shape).astype(one.dtype)
