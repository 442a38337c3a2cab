"""The reference cases of `model/`, and the last line of a self-test."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]


class Case(NamedTuple):
    """An input with what the graph answered where the bundle was made."""

    item: Any
    feeds: Tensors
    outputs: Tensors
    result: Any


def cases(about: Mapping[str, Any], folder: Path) -> Iterator[Case]:
    """Every case of `model.json`."""
    content = (folder / about["self_test"]["file"]).read_bytes()

    def stored(entries: Sequence[Mapping[str, Any]]) -> Tensors:
        found = {}
        for one in entries:
            dtype = np.dtype(one["dtype"]).newbyteorder("<")
            count = int(np.prod(one["shape"], dtype=int))
            flat = np.frombuffer(content, dtype, offset=one["offset"], count=count)
            found[one["name"]] = flat.reshape(one["shape"]).astype(one["dtype"])
        return found

    for case in about["self_test"]["cases"]:
        yield Case(case["item"], stored(case["inputs"]), stored(case["outputs"]), case["result"])


def changed_files(about: Mapping[str, Any], folder: Path) -> list[str]:
    """What to say of files that are not those of the bundle."""
    return [
        f"{name} was changed"
        for name, digest in about["files"].items()
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest
    ]


def difference(got: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> float:
    """The largest difference of any element; 1e300 where one is missing or no number."""
    largest = 0.0
    for name, want in expected.items():
        have = got.get(name)
        if have is None or have.shape != want.shape or have.dtype != want.dtype:
            return 1e300
        apart = np.abs(have.astype(np.float64) - want).max(initial=0)
        largest = max(largest, float(apart) if np.isfinite(apart) else 1e300)
    return largest


def end(about: Mapping[str, Any], problems: Sequence[str], largest: float, runtime: str) -> int:
    """Say how it went, for people and for programs, and return the exit code."""
    test = about["self_test"]
    problems = [*problems, *(["the answers differ"] if largest > test["limit"] else [])]
    told = [f"largest difference {largest:.2g} (limit {test['limit']:.2g})", *problems]
    print(*told, sep="\n", file=sys.stderr)
    summary = {
        "passed": not problems,
        "cases": len(test["cases"]),
        "largest_difference": largest,
        "limit": test["limit"],
        "runtime": runtime,
    }
    print(json.dumps(summary))
    return 1 if problems else 0
