"""Runs the model in `model/` with onnxruntime and numpy. Change it into your app."""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).parent / "model"


class Model:
    """The model with its pre- and post-processing; use it from as many threads as you like."""

    def __init__(self, folder: Path = HERE, threads: int = 0) -> None:
        self.about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.folder = folder
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        for key, value in self.about["session_options"].items():
            options.add_session_config_entry(key, value)
        self.session = ort.InferenceSession(
            str(folder / self.about["graph"]), options, providers=["CPUExecutionProvider"]
        )
        if text := self.about["text"]:
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(str(folder / text["tokenizer"]))
            self.tokenizer.enable_truncation(text["max_length"])

    def __call__(self, item: object) -> dict:
        """The result of a text, a pair of texts, a row, or tensors by name."""
        return self.decode(self.run(self.encode(item)))

    def encode(self, item) -> dict[str, np.ndarray]:
        """Feeds for one item."""
        if self.about["text"]:
            return self._tokens(item)
        if self.about["columns"]:
            return self._row(item)
        if self.about["image"]:
            return {self.about["inputs"][0]["name"]: self._pixels(item)}
        return {
            one["name"]: np.asarray(item[one["name"]], one["dtype"]) for one in self.about["inputs"]
        }

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name."""
        names = [output["name"] for output in self.about["outputs"]]
        return dict(zip(names, self.session.run(names, feeds)))

    def decode(self, outputs: dict[str, np.ndarray]) -> dict:
        """The result of one item's outputs."""
        task = self.about["task"]
        if not task["output"] or task["name"] == "tensors":
            return {"outputs": {name: value.tolist() for name, value in outputs.items()}}
        answer = outputs[task["output"]].astype(np.float64).reshape(-1)
        if task["name"] == "feature-extraction":
            return {"embedding": answer.tolist()}
        if not task["labels"]:
            return {
                "value": float(np.exp(answer[0]) if task["value_transform"] == "exp" else answer[0])
            }
        if task["activation"] == "softmax":
            powers = np.exp(answer - answer.max())
            shares = powers / powers.sum()
        elif task["activation"] == "sigmoid":
            shares = 1 / (1 + np.exp(-answer))
            if len(shares) == 1 and len(task["labels"]) == 2:
                shares = np.array([1 - shares[0], shares[0]])
        else:
            shares = answer
        scores = dict(zip(task["labels"], shares.tolist()))
        label = max(scores, key=scores.__getitem__)
        return {"label": label, "score": scores[label], "scores": scores}

    def _tokens(self, item) -> dict[str, np.ndarray]:
        text = self.about["text"]
        found = self.tokenizer.encode(*([item] if isinstance(item, str) else item))
        kinds = {spec["name"]: spec["dtype"] for spec in self.about["inputs"]}
        length = max(text["length"] or len(found), 1)
        feeds = {}
        for name, field in text["inputs"].items():
            row = np.full((1, length), text["pad_id"] if field == "ids" else 0, kinds[name])
            row[0, : len(found)] = getattr(found, field)
            feeds[name] = row
        return feeds

    def _row(self, item) -> dict[str, np.ndarray]:
        numeric, categorical = [], []
        for column in self.about["columns"]:
            cell = item[column["name"]]
            if column["type"] == "numeric":
                empty = cell in (None, "") and column["fill"] is not None
                numeric.append(float(column["fill"] if empty else cell))
            elif str(cell) in column["levels"]:
                categorical.append(column["levels"].index(str(cell)))
            elif column["unknown"] == "other":
                categorical.append(len(column["levels"]))
            else:
                raise ValueError(f"{column['name']} is {cell!r}, none of {column['levels']}")
        feeds = {"numeric": np.array([numeric], np.float32), "categorical": np.array([categorical])}
        return {spec["name"]: feeds[spec["name"]] for spec in self.about["inputs"]}

    def _pixels(self, pixels) -> np.ndarray:
        """float32[1, channels, height, width] of uint8[height, width] or [height, width, channels]."""
        image = self.about["image"]
        values = np.asarray(pixels, np.float32).reshape(
            image["height"], image["width"], -1
        ) * np.float32(image["scale"])
        if image["mean"]:
            values = values - np.array(image["mean"], np.float32)
        if image["std"]:
            values = values / np.array(image["std"], np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def self_test(model: Model) -> bool:
    """Compare files, preprocessing and answers with those of the machine that made the bundle."""
    test = model.about["self_test"]
    tensors = (model.folder / test["file"]).read_bytes()
    problems, largest = [], 0.0
    for name, digest in model.about["files"].items():
        if hashlib.sha256((model.folder / name).read_bytes()).hexdigest() != digest:
            problems.append(f"{name} was changed")

    def stored(case: dict, side: str) -> dict[str, np.ndarray]:
        return {
            one["name"]: np.frombuffer(tensors, np.dtype(one["dtype"]).newbyteorder("<"), offset=one["offset"],
                                       count=int(np.prod(one["shape"], dtype=int))).reshape(one["shape"])
            for one in case[side]
        }  # fmt: skip

    for number, case in enumerate(test["cases"], 1):
        feeds, expected = stored(case, "inputs"), stored(case, "outputs")
        if case["item"] is not None:
            made = model.encode(case["item"])
            if any(not np.array_equal(made[name], feeds[name]) for name in feeds):
                problems.append(f"case {number}: preprocessing makes other inputs")
        for name, value in model.run(feeds).items():
            difference = np.abs(value.astype(np.float64) - expected[name]).max(initial=0)
            largest = max(largest, float(difference if np.isfinite(difference) else 1e300))
    if largest > test["limit"]:
        problems.append("the answers differ")
    print(
        f"largest difference {largest:.2g} (limit {test['limit']:.2g})",
        *problems,
        sep="\n",
        file=sys.stderr,
    )
    print(json.dumps({"passed": not problems, "cases": len(test["cases"]), "largest_difference": largest,
                      "limit": test["limit"], "runtime": f"onnxruntime {ort.__version__}"}))  # fmt: skip
    return not problems


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test(Model()) else 1)
    model = Model()
    for line in sys.argv[1:] or sys.stdin:
        print(json.dumps(model(line.rstrip("\n") if model.about["text"] else json.loads(line))))
