"""Starts the server and asks it everything that the machine that made the bundle answered.

python self_test.py                                 a server of its own, on a free port
python self_test.py --url http://127.0.0.1:8080     one that runs, such as the container
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import onnxruntime as ort
import reference
import v2
from app import HERE, Model, agree

STOPS_WITHIN_S = 30


def items(about: Mapping[str, Any], item: Any) -> list[dict[str, Any]]:
    """The inputs of a request with one item."""
    if about["columns"]:
        columns = [(one["name"], one["type"] == "numeric") for one in about["columns"]]
        return [_one(name, item.get(name), numeric=numeric) for name, numeric in columns]
    if about["image"]:
        pixels = np.asarray(item, np.uint8)
        shape = [1, *pixels.shape, *([1] if pixels.ndim == 2 else [])]
        return [v2.tensor("pixels", pixels.reshape(shape))]
    pair = [item] if isinstance(item, str) else item
    return [
        _one(name, text, numeric=False)
        for name, text in zip(("text", "text_pair"), pair, strict=False)
    ]


def _one(name: str, value: Any, *, numeric: bool) -> dict[str, Any]:
    cell: str | float | None = str(value)
    if numeric:  # rows of a CSV file are texts
        cell = None if value in (None, "") else float(value)
    return {"name": name, "shape": [1], "datatype": "FP64" if numeric else "BYTES", "data": [cell]}


def ask(here: Model, url: str) -> tuple[list[str], float]:
    """What is wrong, and the largest difference.

    Results are held against what this machine makes of the server's tensors, so that a label never
    hangs on the last digits of another processor.
    """
    about = here.about
    model = f"{url}/v2/models/{quote(about['name'], safe='')}"
    problems: list[str] = []
    largest = 0.0
    if v2.call(f"{url}/v2/health/ready") != {"ready": True}:
        problems.append("the server is not ready")
    if v2.call(model)["name"] != about["name"]:
        problems.append("the server has another model")
    outputs = [one["name"] for one in about["outputs"]]
    for number, case in enumerate(reference.cases(about, HERE), 1):
        answers = [v2.infer(model, case.feeds, outputs)]
        if case.result is not None and not agree(
            here.decode(case.outputs, case.feeds), case.result
        ):
            problems.append(f"case {number}: postprocessing makes another result")
        if case.item is not None:
            asked = {"inputs": items(about, case.item)}
            wanted = {**asked, "outputs": [{"name": name} for name in outputs]}
            told = v2.call(f"{model}/infer", wanted)["outputs"]
            answers.append({one["name"]: v2.array(one) for one in told})
            read = {one["name"]: one["data"] for one in v2.call(f"{model}/infer", asked)["outputs"]}
            want = framed(here.decode(answers[-1], case.feeds))
            if not agree(read, want):
                problems.append(f"case {number}: the server makes another result of its tensors")
        largest = max([largest, *(reference.difference(one, case.outputs) for one in answers)])
    return problems, largest


def framed(result: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The data of the tensors that a result travels in."""
    found = {}
    for name, value in result.items():
        if isinstance(value, dict):  # scores by label
            found[name] = list(value.values())
        elif name == "labels":
            found[name] = [json.dumps(value, ensure_ascii=False)]
        else:
            found[name] = np.ravel(value).tolist()
    return found


def check_requests(about: Mapping[str, Any], url: str) -> list[str]:
    """Requests that must be refused, with the reason, and not crash the server."""
    model = f"{url}/v2/models/{quote(about['name'], safe='')}/infer"
    problems = []
    for body, code in (({}, 400), ({"inputs": [{"name": "nothing"}]}, 400)):
        try:
            v2.call(model, body)
            problems.append(f"{body} was answered")
        except v2.ServerError as error:
            if f"{code} " not in str(error):
                problems.append(f"{body} got {error}")
    return problems


def main() -> int:
    """The exit code: 0 where the server answers as the machine that made the bundle did."""
    parser = argparse.ArgumentParser(description="Prove the server.")
    parser.add_argument("--url", help="of a server that runs")
    given = parser.parse_args()
    try:
        about = json.loads((HERE / "model.json").read_text("utf-8"))
    except ValueError as error:
        print(f"model.json is no JSON: {error}", file=sys.stderr)
        return 1
    problems = reference.changed_files(about, HERE)
    if problems:  # and nothing opens a changed file
        return reference.end(about, problems, 0.0, f"onnxruntime {ort.__version__}")
    here = Model()
    if given.url:
        found, largest = ask(here, given.url.rstrip("/"))
        return reference.end(about, problems + found, largest, f"{given.url}")
    server = subprocess.Popen(
        [sys.executable, "server.py", "--host", "127.0.0.1", "--port", "0"],
        cwd=Path(__file__).parent,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            problems.append(f"the server ended with {server.wait()}")
            return reference.end(about, problems, 1e300, f"onnxruntime {ort.__version__}")
        url = f"http://127.0.0.1:{json.loads(line)['listening']}"
        found, largest = ask(here, url)
        problems += [*found, *check_requests(about, url)]
        server.send_signal(signal.SIGTERM)
        if server.wait(STOPS_WITHIN_S):
            problems.append(f"SIGTERM ended the server with {server.returncode}")
    except v2.ServerError as error:
        problems.append(str(error))
        largest = 1e300
    finally:
        server.kill()
        server.wait()
    import starlette
    import uvicorn

    libraries = {"onnxruntime": ort, "uvicorn": uvicorn, "starlette": starlette}
    runtime = ", ".join(f"{name} {one.__version__}" for name, one in libraries.items())
    return reference.end(about, problems, largest, runtime)


if __name__ == "__main__":
    sys.exit(main())
