"""Runs the model in `model/` with onnxruntime and numpy. Change it into your app."""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).parent / "model"


class Model:
    """The model with its pre- and post-processing; threads may share it."""

    def __init__(self, folder: Path = HERE, threads: int = 0) -> None:
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

    def encode(self, item: Any) -> dict[str, Any]:
        """What the graph takes, from one item."""
        inputs, found = self.about["inputs"], item
        if text := self.about["text"]:
            tokens = self.tokenizer.encode(*([item] if isinstance(item, str) else item))
            tokens.pad(max(text["length"], 1), pad_id=text["pad_id"])
            found = {name: [getattr(tokens, field)] for name, field in text["inputs"].items()}
        elif columns := self.about["columns"]:
            cells = [(c["type"], _number(c, item[c["name"]])) for c in columns]
            found = {kind: [[number for k, number in cells if k == kind]] for kind, _ in cells}
        elif image := self.about["image"]:  # [height, width] or [height, width, channels], 0-255
            factors = [image["scale"]] * len(image["mode"]), image["mean"] or 0, image["std"] or 1
            scale, mean, std = (np.array(one, np.float32) for one in factors)
            values = (np.atleast_3d(np.asarray(item, np.float32)) * scale - mean) / std
            found = {inputs[0]["name"]: values.transpose(2, 0, 1)[None]}
        return {n["name"]: np.asarray_chkfinite(found[n["name"]], n["dtype"]) for n in inputs}

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """What the graph answers."""
        names = [one["name"] for one in self.about["outputs"]]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def decode(
        self, outputs: dict[str, Any], feeds: dict[str, Any] | None = None
    ) -> dict[str, Any]:
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
            value = float(answer.item())
            return {"value": float(np.exp(value)) if task["value_transform"] == "exp" else value}
        share = answer.reshape(-1).astype(np.float64)
        if task["activation"] == "softmax":
            share = np.exp(share - np.logaddexp.reduce(share))
        elif task["activation"] == "sigmoid":  # of the second label's one logit, or of all
            share = np.exp(-np.logaddexp(0, -share if task["multi_label"] else [*share, *-share]))
        scores: dict[str, float] = dict(zip(task["labels"], share.tolist(), strict=True))
        label = max(scores, key=scores.__getitem__)
        several = {"labels": [n for n in scores if scores[n] >= 0.5]} if task["multi_label"] else {}
        return {"label": label, "score": scores[label], "scores": scores, **several}


def _number(column: dict[str, Any], cell: Any) -> float:
    if column["type"] == "numeric":
        if np.isfinite(number := float(column["fill"] if cell in {None, ""} else cell)):
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


def self_test(folder: Path = HERE) -> bool:
    """Compare files, preprocessing and answers with those of the machine that made the bundle."""
    about = json.loads((folder / "model.json").read_text("utf-8"))
    test, largest = about["self_test"], 0.0
    hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in about["files"]}
    problems = [f"{name} was changed" for name in hashes if hashes[name] != about["files"][name]]
    if cases := [] if problems else test["cases"]:  # a changed file is not opened
        model, raw = Model(folder), (folder / test["file"]).read_bytes()
    for number, case in enumerate(cases, 1):
        feeds, known = (  # little-endian, as every machine that onnxruntime has wheels for
            {n["name"]: np.ndarray(n["shape"], n["dtype"], raw, n["offset"]) for n in case[side]}
            for side in ("inputs", "outputs")
        )
        made = feeds if case["item"] is None else model.encode(case["item"])
        if not all(np.array_equal(made[name], feeds[name]) for name in feeds):
            problems.append(f"case {number}: preprocessing makes other inputs")
        if case["result"] and not agree(model.decode(known, feeds), case["result"]):
            problems.append(f"case {number}: postprocessing makes another result")
        apart = [abs(v - known[n].astype("d")).max(initial=0) for n, v in model.run(feeds).items()]
        largest = max(largest, *np.nan_to_num(apart, nan=1e300, posinf=1e300).tolist())
    passed = not problems and largest <= test["limit"]
    print(*problems, f"largest difference {largest:.2g}", sep="\n", file=sys.stderr)
    said = {"cases": len(test["cases"]), "largest_difference": largest, "limit": test["limit"]}
    print(json.dumps({"passed": passed, **said, "runtime": f"onnxruntime {ort.__version__}"}))
    return passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Answers items, a JSON object a line.")
    parser.add_argument("--self-test", action="store_true", help="compare with known answers")
    parser.add_argument("items", nargs="*", help="see README.md; none: from stdin, one a line")
    given, where = parser.parse_args(), "the model"
    try:
        if given.self_test:
            sys.exit(0 if self_test() else 1)
        model = Model()
        nested = isinstance(model.about["self_test"]["cases"][0]["item"], list)  # a pair, or pixels
        for number, line in enumerate([*map(os.fsencode, given.items)] or sys.stdin.buffer, 1):
            where = f"line {number}"
            item = json.loads(line) if nested or not model.about["text"] else line.decode().rstrip()
            print(json.dumps(model(item), allow_nan=False))
    except Exception as error:  # noqa: BLE001 - onnxruntime's share no base class
        parser.exit(1 if given.self_test else 3, f"{where}: {type(error).__name__}: {error}\n")
