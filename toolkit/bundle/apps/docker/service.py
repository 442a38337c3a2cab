"""What a request of the Open Inference Protocol means to the model: checks, items and answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import v2
from app import Model
from numpy.typing import NDArray

MOST_ITEMS = 256
"""Items of one request; more are a client's mistake or an attack."""

Tensors = dict[str, NDArray[Any]]
Entry = dict[str, Any]


class RequestError(Exception):
    """The request is not what the model takes."""


class Service:
    """The model with the protocol's words around it.

    Args:
        model: Answers.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.about = model, model.about
        self.graph_inputs = {one["name"]: one for one in self.about["inputs"]}
        self.graph_outputs = [one["name"] for one in self.about["outputs"]]

    def metadata(self) -> Entry:
        """What goes in and comes out: first items, then the graph's own tensors."""
        tensors = {
            side: [
                {"name": one["name"], "datatype": v2.NAMES.get(one["dtype"], one["dtype"]),
                 "shape": [size if isinstance(size, int) else -1 for size in one["shape"]]}
                for one in self.about[side]
            ]
            for side in ("inputs", "outputs")
        }  # fmt: skip
        return {
            "name": self.about["name"],
            "versions": ["1"],
            "platform": "onnxruntime_onnx",
            **tensors,
            "parameters": {"item_inputs": self.item_inputs(), "task": self.about["task"]["name"]},
        }

    def item_inputs(self) -> list[Entry]:
        """The inputs of requests that leave the preprocessing to the server."""
        image = self.about["image"]
        if self.about["text"]:
            return [
                {"name": "text", "datatype": "BYTES", "shape": [-1]},
                {"name": "text_pair", "datatype": "BYTES", "shape": [-1], "optional": True},
            ]
        if self.about["columns"]:
            return [
                {
                    "name": column["name"],
                    "datatype": "FP64" if column["type"] == "numeric" else "BYTES",
                    "shape": [-1],
                }
                for column in self.about["columns"]
            ]
        if image:
            depth = 1 if image["mode"] == "L" else 3
            shape = [-1, image["height"], image["width"], depth]
            return [{"name": "pixels", "datatype": "UINT8", "shape": shape}]
        return []

    def infer(self, body: object) -> Entry:
        """The answer to a request.

        Raises:
            RequestError: The request is not what the model takes.
        """
        entries, wanted = _parts(body)
        if set(entries) == set(self.graph_inputs) and not self._are_items(entries):
            outputs = self._from_tensors(entries)
        else:
            outputs = self._from_items(entries, tensors=bool(set(wanted) & set(self.graph_outputs)))
        unknown = [name for name in wanted if name not in outputs]
        if unknown:
            raise RequestError(f"there is no output {unknown[0]!r}; there are {', '.join(outputs)}")
        shown = [outputs[name] for name in wanted or outputs]
        answer: Entry = {"model_name": self.about["name"], "model_version": "1", "outputs": shown}
        if isinstance(body, dict) and "id" in body:
            answer["id"] = body["id"]
        return answer

    def _are_items(self, entries: Mapping[str, Entry]) -> bool:
        """Whether inputs are items, although the graph's own have the same names, as `pixels`."""
        known = {one["name"]: one for one in self.item_inputs()}
        for name, entry in entries.items():
            sizes = known[name]["shape"] if name in known else []
            have = entry["shape"] if isinstance(entry["shape"], list) else []
            same = len(have) == len(sizes) and all(
                want in (-1, size) for size, want in zip(have, sizes, strict=True)
            )
            if name not in known or entry["datatype"] != known[name]["datatype"] or not same:
                return False
        return True

    def _from_tensors(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        feeds = {}
        for name, spec in self.graph_inputs.items():
            try:
                feeds[name] = v2.array(entries[name])
            except (ValueError, OverflowError) as error:
                raise RequestError(str(error)) from error
            sizes = feeds[name].shape
            fits = len(sizes) == len(spec["shape"]) and all(
                have == want or isinstance(want, str)
                for have, want in zip(sizes, spec["shape"], strict=True)
            )
            if feeds[name].dtype.name != spec["dtype"] or not fits:
                given = f"{feeds[name].dtype.name}{list(sizes)}"
                expected = f"{spec['dtype']}[{', '.join(map(str, spec['shape']))}]"
                raise RequestError(f"{name} is {given}, expected {expected}")
            self._check_sizes(name, spec["shape"], sizes)
        return {name: v2.tensor(name, value) for name, value in self._run(feeds).items()}

    def _check_sizes(self, name: str, shape: Sequence[object], sizes: Sequence[int]) -> None:
        """Refuse more rows or tokens than requests with items may have."""
        text = self.about["text"]
        limits = [MOST_ITEMS, *([text["max_length"]] if text and name in text["inputs"] else [])]
        for size, limit, have in zip(shape, limits, sizes, strict=False):
            if isinstance(size, str) and have > limit:
                raise RequestError(f"{name} has {have} of {size}, expected at most {limit}")

    def _from_items(self, entries: Mapping[str, Entry], *, tensors: bool) -> dict[str, Entry]:
        """Each item by itself, so that no answer depends on its company."""
        asked: list[Tensors] = []
        answers: list[Tensors] = []
        for item in self._items(entries):
            try:
                feeds = self.model.encode(item)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise RequestError(f"item {len(answers) + 1}: {error}") from error
            asked.append(feeds)
            answers.append(self._run(feeds))
        results = [] if tensors else list(map(self.model.decode, answers, asked))
        try:
            if tensors:
                return {
                    name: v2.tensor(name, np.concatenate([answer[name] for answer in answers]))
                    for name in self.graph_outputs
                }
            return _results(results)
        except ValueError as error:  # numpy's word for rows of different lengths
            raise RequestError(
                "the items have answers of different sizes, which no tensor holds; ask for one item"
                " a request"
            ) from error

    def _run(self, feeds: Tensors) -> Tensors:
        try:
            outputs: Tensors = self.model.run(feeds)
        except Exception as error:
            if type(error).__name__ == "InvalidArgument":  # ONNX Runtime's word for wrong feeds
                raise RequestError(f"the model does not take these values: {error}") from error
            raise
        for name, value in outputs.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise RequestError(f"the output {name} is not finite, which JSON cannot say")
        return outputs

    def _items(self, entries: Mapping[str, Entry]) -> list[Any]:
        known = {one["name"]: one for one in self.item_inputs()}
        missing = [name for name in known if name not in entries and "optional" not in known[name]]
        unknown = [name for name in entries if name not in known]
        if missing or unknown or not known:
            either = " or ".join(
                f"{', '.join(names)}" for names in (list(known), list(self.graph_inputs)) if names
            )
            raise RequestError(
                f"the inputs are {', '.join(entries) or 'missing'}, expected {either}"
            )
        columns = {}
        for name, entry in entries.items():
            if name == "pixels" and self.about["image"]:
                try:
                    columns[name] = list(v2.array({**entry, "datatype": "UINT8"}))
                except (ValueError, OverflowError) as error:
                    raise RequestError(str(error)) from error
                continue
            columns[name] = _cells(entry, texts=known[name]["datatype"] == "BYTES")
        counts = {len(cells) for cells in columns.values()}
        if len(counts) > 1 or not 0 < max(counts) <= MOST_ITEMS:
            raise RequestError(f"every input must have the same 1 to {MOST_ITEMS} items")
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if self.about["columns"]:
            return rows
        return [list(row.values()) if len(row) > 1 else next(iter(row.values())) for row in rows]


def _parts(body: object) -> tuple[dict[str, Entry], list[str]]:
    """Inputs by name, and the names of the outputs that are asked for."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise RequestError(
            'the body must be {"inputs": [{"name", "shape", "datatype", "data"}, ...]}'
        )
    entries = {}
    for entry in body["inputs"]:
        lacking = [
            key
            for key in ("name", "shape", "datatype", "data")
            if not isinstance(entry, dict) or key not in entry
        ]
        if lacking:
            raise RequestError(f"an input lacks {', '.join(lacking)}")
        if not _is_text(entry["name"]) or entry["name"] in entries:
            raise RequestError(f"the input {entry['name']!r} comes twice, or its name is no text")
        entries[entry["name"]] = entry
    outputs = body.get("outputs") or []
    if not isinstance(outputs, list) or not all(
        isinstance(one, dict) and _is_text(one.get("name")) for one in outputs
    ):
        raise RequestError('the outputs must be [{"name": ...}, ...]')
    if not _is_text(body.get("id", "")):
        raise RequestError(f"the id {body['id']!r} is no text")
    return entries, [one["name"] for one in outputs]


def _is_text(value: object) -> bool:
    """Whether it can be told in an answer: JSON may spell half of a character."""
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def _cells(entry: Entry, *, texts: bool) -> list[Any]:
    """One value an item, of an input of the shape [items] or [items, 1]."""
    try:
        shape = v2.shape_of(entry)
    except ValueError as error:
        raise RequestError(str(error)) from error
    cells = entry["data"]
    if not isinstance(cells, list) or shape not in ([len(cells)], [len(cells), 1]):
        raise RequestError(f"{entry['name']}: data and shape must be of as many items")
    cells = [cell[0] if isinstance(cell, list) and len(cell) == 1 else cell for cell in cells]
    numbers = (int, float, type(None))
    for cell in cells:
        if not isinstance(cell, str if texts else numbers) or isinstance(cell, bool):
            raise RequestError(f"{entry['name']}: {cell!r} is no {'text' if texts else 'number'}")
    return cells


def _results(results: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """What the answers mean: label, score and scores, or value, or embedding, or whole outputs."""
    first = results[0]
    if "outputs" in first:
        return {
            name: {"name": name, "datatype": "FP64", "shape": [len(results), *np.shape(value)],
                   "data": np.array([one["outputs"][name] for one in results]).reshape(-1).tolist()}
            for name, value in first["outputs"].items()
        }  # fmt: skip
    found: dict[str, Entry] = {}
    for name, value in first.items():
        cells = [one[name] for one in results]
        kind = "FP64"
        if isinstance(value, dict):  # scores by label, in the labels' order
            cells = [list(one.values()) for one in cells]
        elif isinstance(value, str):
            kind = "BYTES"
        elif isinstance(value, list) and any(
            isinstance(cell, str) for one in cells for cell in one
        ):
            kind, cells = "BYTES", [json.dumps(one, ensure_ascii=False) for one in cells]
        elif name == "labels":  # several labels an item, none of them here
            kind, cells = "BYTES", ["[]"] * len(cells)
        array = np.array(cells, dtype=object if kind == "BYTES" else np.float64)
        found[name] = {"name": name, "datatype": kind, "shape": list(array.shape),
                       "data": array.reshape(-1).tolist()}  # fmt: skip
    return found
