"""What can be proved of a model repository without Triton: its configuration and its graph."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import reference
from app import HERE, Model, agree
from client import NAME, Remote, padded
from google.protobuf import descriptor_pool, message_factory, text_format

PLACE = HERE.parent / "models" / NAME
_TYPES = {
    "TYPE_BOOL": "tensor(bool)", "TYPE_FP16": "tensor(float16)", "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    **{f"TYPE_{sign}INT{bits}": f"tensor({sign.lower()}int{bits})"
       for sign in ("", "U") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def read_config() -> Any:
    """`config.pbtxt` as Triton's own schema reads it.

    Raises:
        google.protobuf.text_format.ParseError: It is none.
    """
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile((HERE.parent / "model_config.pb").read_bytes())
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    text = (PLACE / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, kind(), descriptor_pool=pool)


def config_problems(config: Any, session: ort.InferenceSession) -> Iterator[str]:
    """Where the configuration and the graph do not agree."""
    if config.name != PLACE.name or config.backend != "onnxruntime":
        yield f"the configuration is of {config.name} for {config.backend}"
    if not (PLACE / "1" / config.default_model_filename).is_file():
        yield f"there is no {config.default_model_filename} in version 1"
    if config.max_batch_size < 2 and config.HasField("dynamic_batching"):
        yield "there is dynamic batching without a batch"
    for rows in config.dynamic_batching.preferred_batch_size:
        if not 0 < rows <= config.max_batch_size:
            yield f"the preferred batch size {rows} is none"
    sides = ((config.input, session.get_inputs()), (config.output, session.get_outputs()))
    for entries, tensors in sides:
        if [one.name for one in entries] != [one.name for one in tensors]:
            yield f"{[one.name for one in entries]} are not {[one.name for one in tensors]}"
            continue
        for entry, one in zip(entries, tensors, strict=True):
            kind = entry.DESCRIPTOR.fields_by_name["data_type"].enum_type
            if _TYPES.get(kind.values_by_number[entry.data_type].name) != one.type:
                yield f"the type of {one.name} is {one.type} in the graph"
            sizes = list(entry.reshape.shape if entry.HasField("reshape") else entry.dims)
            if config.max_batch_size:
                sizes.insert(0, -1)
            graph = [size if isinstance(size, int) else -1 for size in one.shape]
            if sizes != graph:
                yield f"{one.name} has the sizes {graph} in the graph, {sizes} in the configuration"


def answers(config: Any, model: Model) -> tuple[list[str], float]:
    """What is wrong with the graph's answers, and the largest difference.

    Each case alone, then in the batches that the dynamic batcher may make of them: rows of one
    shape, texts padded as the client pads them.
    """
    problems, largest = [], 0.0
    cases = list(reference.cases(model.about, HERE))
    for number, case in enumerate(cases, 1):
        if case.item is not None:
            made = model.encode(case.item)
            if any(not np.array_equal(made[name], case.feeds[name]) for name in case.feeds):
                problems.append(f"case {number}: preprocessing makes other inputs")
        if case.result is not None and not agree(
            model.decode(case.outputs, case.feeds), case.result
        ):
            problems.append(f"case {number}: postprocessing makes another result")
        largest = max(largest, reference.difference(model.run(case.feeds), case.outputs))
    if not config.HasField("dynamic_batching") or config.max_batch_size < 1:
        return problems, largest
    same = defaultdict(list)
    for case in cases:
        feeds = padded(model.about, case.feeds)
        same[tuple(one.shape[1:] for one in feeds.values())].append((feeds, case.outputs))
    for members in same.values():
        for start in range(0, len(members), config.max_batch_size):
            some = members[start : start + config.max_batch_size]
            largest = max(largest, _together(model, some))
    return problems, largest


def _together(
    model: Model, members: Sequence[tuple[reference.Tensors, reference.Tensors]]
) -> float:
    names = list(members[0][0])
    got = model.run({name: np.concatenate([one[name] for one, _ in members]) for name in names})
    largest, row = 0.0, 0
    for _, expected in members:
        rows = next(iter(expected.values())).shape[0]
        mine = {
            name: got[name][row : row + rows][tuple(slice(size) for size in want.shape)]
            for name, want in expected.items()
        }
        largest = max(largest, reference.difference(mine, expected))
        row += rows
    return largest


def asked(url: str) -> tuple[list[str], float]:
    """The same of a server that runs: its configuration's tensors and its answers."""
    import v2

    remote = Remote(url)
    problems, largest = [], 0.0
    v2.call(f"{remote.server}/v2/health/ready")
    v2.call(f"{remote.url}/ready")
    told = v2.call(remote.url)
    for side in ("inputs", "outputs"):
        have = {one["name"]: one["datatype"] for one in told[side]}
        want = {one["name"]: v2.NAMES[one["dtype"]] for one in remote.about[side]}
        if have != want:
            problems.append(f"the server's {side} are {have}, expected {want}")
    for case in reference.cases(remote.about, remote.folder):
        expected: Mapping[str, Any] = case.outputs
        got = remote.run(case.feeds)
        mine = {
            name: got[name][tuple(slice(size) for size in one.shape)]
            for name, one in expected.items()
        }
        largest = max(largest, reference.difference(mine, expected))
    return problems, largest
