"""What the runs of a profile are fed: files, a data set, reference inputs, or random tensors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.npz import read_npz
from toolkit.profiling.feeds import profile_feeds, samples_per_run
from toolkit.profiling.graph_inputs import GraphInputs
from toolkit.profiling.scenarios import MultiStream, Offline, Scenario
from toolkit.tasks import Item, Task
from toolkit.tensors import Array, Feeds, TensorSpec

InputKind = Literal["reference", "random", "data", "files"]

MOST_QUERIES = 2000
"""Queries prepared from a data set: they are taken in turn, and all lie in memory."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to feed the runs with.

    Attributes:
        reference: An .npz of the package's own inputs; empty for none.
        data: A data file; empty for none.
        text_column: The column that holds the text; found by name when empty.
        where: Rows of the data whose column has this value.
        files: A file by input name.
        sizes: Sizes of symbolic dimensions.
        seed: Seed of random feeds, and of the order of the data.
    """

    reference: str = ""
    data: str = ""
    text_column: str = ""
    where: dict[str, str] = {}
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Prepared feeds.

    Attributes:
        feeds: One a query, taken in turn.
        kind: Where they come from.
        samples: Data items of a query.
        items: The data set, for the offline scenario; empty for prepared tensors.
    """

    feeds: Sequence[Feeds]
    kind: InputKind
    samples: int
    items: Sequence[Item] = ()


def prepare(
    specs: Sequence[TensorSpec],
    task: Task | None,
    given: Given,
    scenario: Scenario,
    known: GraphInputs | None = None,
) -> Queries:
    """Feeds for a scenario.

    Args:
        specs: The graph inputs.
        task: Encodes the data; None for a bare `.onnx` file.
        given: Files, data, reference, sizes and seed.
        scenario: Multi-stream queries hold one sample a stream.
        known: What the graph says of its inputs, and the session does not.

    Raises:
        InputError: A size is missing, the data is empty or fits no task, or a file does not fit.
    """
    if given.files and given.data:
        raise InputError("--input and --data are both given", expected="one of the two")
    if given.files and given.sizes:
        raise InputError(
            "--input and --shape are both given: the files have the sizes that they have",
            expected="one of the two",
        )
    known = known or GraphInputs()
    sizes = _with_streams(specs, given.sizes, scenario)
    if given.data:
        return _of_data(specs, task, given, sizes, scenario)
    reference = _read(given.reference)
    if given.files:
        feeds = _of_files(specs, given.files, known.unranked)
        samples = _samples(specs, feeds, scenario)
        if (
            isinstance(scenario, MultiStream)
            and is_batchable(specs)
            and samples != scenario.streams
        ):
            raise InputError(
                f"the files hold a batch of {samples}, --streams asks for {scenario.streams}",
                expected="one sample a stream",
                fix=f"--streams {samples}",
            )
        return Queries(feeds=[feeds], kind="files", samples=samples)
    if reference is None or {spec.name for spec in specs} != set(reference):
        known.check_guessable(specs)
    made = profile_feeds(specs, reference=reference, sizes=sizes, seed=given.seed)
    kind: InputKind = "random"
    if reference is not None and set(reference) == set(made):
        kind = "reference"
    return Queries(feeds=[made], kind=kind, samples=_samples(specs, made, scenario))


def is_batchable(specs: Sequence[TensorSpec]) -> bool:
    """Whether several samples go into one run: every input's first axis is symbolic."""
    return all(spec.shape and isinstance(spec.shape[0], str) for spec in specs)


def _samples(specs: Sequence[TensorSpec], feeds: Feeds, scenario: Scenario) -> int:
    """Data items of a run. An input of one axis is a signal, but where that axis is a batch."""
    if isinstance(scenario, (MultiStream, Offline)) and is_batchable(specs):
        sizes = {array.shape[0] for array in feeds.values()}
        if len(sizes) == 1:
            return int(sizes.pop())
    return samples_per_run(feeds)


def _with_streams(
    specs: Sequence[TensorSpec], sizes: Mapping[str, int], scenario: Scenario
) -> dict[str, int]:
    """The sizes, with a batch of one sample a stream, or of the offline scenario's batch."""
    if not is_batchable(specs):
        return dict(sizes)
    names = {name for spec in specs for name in (f"{spec.name}:0", str(spec.shape[0]))}
    given = [sizes[name] for name in names if name in sizes]
    if isinstance(scenario, MultiStream):
        if given and given != [scenario.streams]:
            raise InputError(
                f"--shape asks for a batch of {given[0]}, --streams for {scenario.streams} samples",
                expected="one of the two",
            )
        return {**sizes, **{f"{spec.name}:0": scenario.streams for spec in specs}}
    if isinstance(scenario, Offline) and not given:
        return {**sizes, **{f"{spec.name}:0": scenario.batch for spec in specs}}
    return dict(sizes)


def _of_data(
    specs: Sequence[TensorSpec],
    task: Task | None,
    given: Given,
    sizes: Mapping[str, int],
    scenario: Scenario,
) -> Queries:
    from toolkit.evaluate.samples import SampleOptions, read_samples

    if task is None or task.specification.name == "tensors":
        raise InputError(
            "a bare .onnx file says nothing of how data becomes tensors",
            expected="a package with a task",
            fix="leave --data out, or give tensors with --input NAME=FILE",
        )
    batch_names = {name for spec in specs for name in (f"{spec.name}:0", str(spec.shape[0]))}
    other = [name for name in given.sizes if name not in batch_names]
    if other:
        raise InputError(
            f"--shape {other[0]}={given.sizes[other[0]]} cannot be kept: the data says how long "
            "its samples are",
            expected="--data, or --shape, but for the batch",
        )
    reading = SampleOptions(text_column=given.text_column, where=given.where, labels=False)
    items = read_samples(Path(given.data), task.specification, reading).items
    order = np.random.default_rng(given.seed).permutation(len(items)).tolist()
    if isinstance(scenario, Offline):
        if given.sizes:
            raise InputError(
                "--shape is not read: the offline scenario makes its batches of the data itself",
                fix="leave --shape out, or say how large batches of texts are: --batch-tokens 256",
            )
        feeds = task.encode([items[order[0]]])
        return Queries(feeds=[feeds], kind="data", samples=1, items=items)
    size = next((sizes[name] for name in batch_names if name in sizes), 1)
    count = min(MOST_QUERIES, max(1, len(items) // size))
    chosen = [
        [items[order[(q * size + i) % len(items)]] for i in range(size)] for q in range(count)
    ]
    return Queries(feeds=[task.encode(part) for part in chosen], kind="data", samples=size)


def _of_files(
    specs: Sequence[TensorSpec], files: Mapping[str, str], unranked: Collection[str]
) -> dict[str, Array]:
    from toolkit.inputs import read_feed
    from toolkit.tensors import check_feeds

    known = {spec.name: spec for spec in specs}
    unknown = [name for name in files if name not in known]
    missing = [name for name in known if name not in files]
    if unknown or missing:
        raise InputError(
            f"there is no input named {unknown[0]!r}"
            if unknown
            else f"input {missing[0]!r} is missing",
            expected=", ".join(f"{spec.name}: {spec}" for spec in specs),
            fix=" ".join(f"--input {name}=FILE.npy" for name in known),
        )
    feeds = {name: read_feed(Path(file), known[name]) for name, file in files.items()}
    told = [
        msgspec.structs.replace(spec, shape=("?",) * feeds[spec.name].ndim)
        if spec.name in unranked
        else spec
        for spec in specs
    ]
    check_feeds(feeds, told, source="MODEL")
    return feeds


def _read(file: str) -> Feeds | None:
    return read_npz(Path(file)) if file else None
