"""Runs the model in `model/` with onnxruntime and numpy. Change it into your app."""

import hashlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported

import numpy as np
import onnxruntime as ort

Tensors = dict[str, np.ndarray[Any, Any]]


class Model:
    """The model with its pre- and post-processing; threads may share it."""

    def __init__(self, folder: Path = Path(__file__).parent / "model", threads: int = 0) -> None:
        self.folder = folder
        self.about: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # 0: one a core
        for key, value in self.about["session_options"].items():
            options.add_session_config_entry(key, value)
        file = folder / self.about["graph"]
        self.session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        if text := self.about["text"]:
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(str(folder / text["tokenizer"]))
            self.tokenizer.enable_truncation(text["max_length"])

    def __call__(self, item: Any) -> dict[str, Any]:
        """The answer to a text, (text, text), {column: cell}, pixels, or {input: numbers}."""
        feeds = self.encode(item)
        return self.decode(self.run(feeds), feeds)

    def encode(self, item: Any) -> Tensors:
        """What the graph takes, from one item."""
        inputs, found = self.about["inputs"], item
        if text := self.about["text"]:
            tokens = self.tokenizer.encode(*([item] if isinstance(item, str) else item))
            tokens.pad(max(text["length"], 1), pad_id=text["pad_id"])
            found = {name: [getattr(tokens, field)] for name, field in text["inputs"].items()}
        elif columns := self.about["columns"]:
            found = {"numeric": [[]], "categorical": [[]]}
            for column in columns:
                found[column["type"]][0].append(_number(column, item[column["name"]]))
        elif self.about["image"]:
            found = {inputs[0]["name"]: self._pixels(np.asarray(item, np.float32))}
        return {one["name"]: np.asarray(found[one["name"]], one["dtype"]) for one in inputs}

    def _pixels(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """[1, channels, height, width] of [height, width] or [height, width, channels], 0-255."""
        image = self.about["image"]
        channels = len(image["mode"])  # "L" or "RGB"
        pixels = np.broadcast_to(np.atleast_3d(pixels), (*pixels.shape[:2], channels))
        values = pixels * np.float32(image["scale"]) - np.array(image["mean"] or 0, np.float32)
        return (values / np.array(image["std"] or 1, np.float32)).transpose(2, 0, 1)[None]

    def run(self, feeds: Tensors) -> Tensors:
        """What the graph answers."""
        names = [one["name"] for one in self.about["outputs"]]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def decode(self, outputs: Tensors, feeds: Tensors) -> dict[str, Any]:
        """What the answer to one item means."""
        task = self.about["task"]
        if task["name"] == "tensors":
            return {"outputs": {name: _described(value) for name, value in outputs.items()}}
        answer = outputs[task["output"]][0]
        if task["name"] == "feature-extraction":
            if task["output"] == "last_hidden_state" and "attention_mask" in feeds:
                answer = answer[: int(feeds["attention_mask"].sum())]  # a vector a token
            return {"embedding": answer.tolist()}
        if not task["labels"]:
            value = float(answer.reshape(()))
            return {"value": math.exp(value) if task["value_transform"] == "exp" else value}
        shares = answer.reshape(-1).astype(np.float64)
        if task["activation"] == "softmax":
            shares = np.exp(shares - np.logaddexp.reduce(shares))
        elif task["activation"] == "sigmoid":
            if not task["multi_label"]:  # one logit, of the second label
                shares = np.array([-shares[0], shares[0]])
            shares = np.exp(-np.logaddexp(0, -shares))
        scores: dict[str, float] = dict(zip(task["labels"], shares.tolist(), strict=True))
        label = max(scores, key=scores.__getitem__)
        result = {"label": label, "score": scores[label], "scores": scores}
        if task["multi_label"]:
            result["labels"] = [name for name, score in scores.items() if score >= 0.5]
        return result


def _number(column: dict[str, Any], cell: Any) -> float:
    """What the graph takes for a cell of a row."""
    if column["type"] == "numeric":
        if math.isfinite(number := float(column["fill"] if cell in {None, ""} else cell)):
            return number
    elif str(cell) in column["levels"] or column["unknown"] == "other":
        return [*column["levels"], str(cell)].index(str(cell))
    raise ValueError(f"{column['name']} is {cell!r}; expected {column.get('levels', 'a number')}")


def _described(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"dtype": value.dtype.name, "shape": [*value.shape], "data": value.tolist()}


def self_test(model: Model) -> bool:
    """Compare files, preprocessing and answers with those of the machine that made the bundle."""
    test = model.about["self_test"]
    content = (model.folder / test["file"]).read_bytes()
    problems, largest = [], 0.0

    def stored(one: dict[str, Any]) -> np.ndarray[Any, Any]:
        raw = content[one["offset"] : one["offset"] + one["bytes"]]
        return np.frombuffer(raw, np.dtype(one["dtype"]).newbyteorder("<")).reshape(one["shape"])

    for name, digest in model.about["files"].items():
        if hashlib.sha256((model.folder / name).read_bytes()).hexdigest() != digest:
            problems.append(f"{name} was changed")
    for number, case in enumerate(test["cases"], 1):
        feeds = {one["name"]: stored(one) for one in case["inputs"]}
        made = feeds if case["item"] is None else model.encode(case["item"])
        if not all(np.array_equal(made[name], feeds[name]) for name in feeds):
            problems.append(f"case {number}: preprocessing makes other inputs")
        outputs = model.run(feeds)
        for one in case["outputs"]:
            worst = np.abs(outputs[one["name"]].astype(np.float64) - stored(one)).max(initial=0)
            largest = max(largest, float(np.nan_to_num(worst, nan=1e300, posinf=1e300)))
    passed = not problems and largest <= test["limit"]
    print(*problems, f"largest difference {largest:.2g}", sep="\n", file=sys.stderr)
    said = {"cases": len(test["cases"]), "largest_difference": largest, "limit": test["limit"]}
    print(json.dumps({"passed": passed, **said, "runtime": f"onnxruntime {ort.__version__}"}))
    return passed


if __name__ == "__main__":
    model = Model()
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test(model) else 1)
    takes_text = isinstance(model.about["self_test"]["cases"][0]["item"], str)
    for line in sys.argv[1:] or map(str.rstrip, sys.stdin):
        print(json.dumps(model(line if takes_text else json.loads(line))))
