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

HERE = Path(__file__).parent / "model"
Tensors = dict[str, np.ndarray[Any, Any]]


class Model:
    """The model with its pre- and post-processing; threads may share it."""

    def __init__(self, folder: Path = HERE, threads: int = 0) -> None:
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
        return self.decode(self.run(feeds := self.encode(item)), feeds)

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
        elif image := self.about["image"]:  # [height, width] or [height, width, channels], 0-255
            values = np.atleast_3d(np.asarray(item, np.float32))
            values = np.broadcast_to(values, (*values.shape[:2], len(image["mode"])))
            values = values * np.float32(image["scale"]) - np.array(image["mean"] or 0, np.float32)
            values = values / np.array(image["std"] or 1, np.float32)
            found = {inputs[0]["name"]: values.transpose(2, 0, 1)[None]}
        return {one["name"]: np.asarray(found[one["name"]], one["dtype"]) for one in inputs}

    def run(self, feeds: Tensors) -> Tensors:
        """What the graph answers."""
        names = [one["name"] for one in self.about["outputs"]]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def decode(self, outputs: Tensors, feeds: Tensors | None = None) -> dict[str, Any]:
        """What the answer to one item means."""
        task = self.about["task"]
        if task["name"] == "tensors":
            told = ((name, a.dtype.name, [*a.shape], a.tolist()) for name, a in outputs.items())
            return {"outputs": {n: {"dtype": d, "shape": s, "data": v} for n, d, s, v in told}}
        answer = outputs[task["output"]][0]
        if task["name"] == "feature-extraction":
            if task["output"] == "last_hidden_state" and feeds and "attention_mask" in feeds:
                answer = answer[: int(feeds["attention_mask"].sum())]  # a vector a token
            return {"embedding": answer.tolist()}
        if not task["labels"]:
            value = float(answer.reshape(()))
            return {"value": math.exp(value) if task["value_transform"] == "exp" else value}
        shares = answer.reshape(-1).astype(np.float64)
        if task["activation"] == "softmax":
            shares = np.exp(shares - np.logaddexp.reduce(shares))
        elif (
            task["activation"] == "sigmoid"
        ):  # of one logit, which is the second label's, or of all
            logits = shares if task["multi_label"] else np.array([-shares[0], shares[0]])
            shares = np.exp(-np.logaddexp(0, -logits))
        scores: dict[str, float] = dict(zip(task["labels"], shares.tolist(), strict=True))
        label = max(scores, key=scores.__getitem__)
        several = [name for name, score in scores.items() if score >= 0.5]
        result = {"label": label, "score": scores[label], "scores": scores}
        return {**result, "labels": several} if task["multi_label"] else result


def _number(column: dict[str, Any], cell: Any) -> float:
    if column["type"] == "numeric":
        if math.isfinite(number := float(column["fill"] if cell in {None, ""} else cell)):
            return number
    elif str(cell) in column["levels"] or column["unknown"] == "other":
        return [*column["levels"], str(cell)].index(str(cell))
    raise ValueError(f"{column['name']} is {cell!r}; expected {column.get('levels', 'a number')}")


def agree(found: Any, expected: Any) -> bool:
    """Whether two results are equal but for the last digits of float32."""
    if isinstance(expected, dict):
        found, expected = [*found, *found.values()], [*expected, *expected.values()]
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agree, found, expected))
    return found == expected or (type(expected) is float and np.isclose(found, expected, 1e-4))


def self_test(model: Model) -> bool:
    """Compare files, preprocessing and answers with those of the machine that made the bundle."""
    test = model.about["self_test"]
    raw, problems, largest = (model.folder / test["file"]).read_bytes(), [], 0.0

    def stored(one: dict[str, Any]) -> np.ndarray[Any, Any]:
        kind = np.dtype(one["dtype"]).newbyteorder("<")
        return np.ndarray(one["shape"], kind, raw, one["offset"])

    for name, digest in model.about["files"].items():
        if hashlib.sha256((model.folder / name).read_bytes()).hexdigest() != digest:
            problems.append(f"{name} was changed")
    for number, case in enumerate(test["cases"], 1):
        feeds = {one["name"]: stored(one) for one in case["inputs"]}
        made = feeds if case["item"] is None else model.encode(case["item"])
        if not all(np.array_equal(made[name], feeds[name]) for name in feeds):
            problems.append(f"case {number}: preprocessing makes other inputs")
        expected = {one["name"]: stored(one) for one in case["outputs"]}
        if case["result"] and not agree(model.decode(expected, feeds), case["result"]):
            problems.append(f"case {number}: postprocessing makes another result")
        outputs = model.run(feeds)
        apart = [np.abs(outputs[n] - expected[n].astype(float)).max(initial=0) for n in expected]
        largest = max(largest, *np.nan_to_num(apart, nan=1e300, posinf=1e300).tolist())
    passed = not problems and largest <= test["limit"]
    print(*problems, f"largest difference {largest:.2g}", sep="\n", file=sys.stderr)
    said = {"cases": len(test["cases"]), "largest_difference": largest, "limit": test["limit"]}
    print(json.dumps({"passed": passed, **said, "runtime": f"onnxruntime {ort.__version__}"}))
    return passed


if __name__ == "__main__":
    model = Model()
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test(model) else 1)
    nested = isinstance(model.about["self_test"]["cases"][0]["item"], list)  # a pair, or pixels
    for line in sys.argv[1:] or map(str.rstrip, sys.stdin):
        print(json.dumps(model(line if model.about["text"] and not nested else json.loads(line))))
