"""What the bundles for servers have in common."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path

import numpy as np

from toolkit.bundle.document import AppModel
from toolkit.bundle.examples import example_item
from toolkit.errors import InputError
from toolkit.tasks.tabular import NumericColumn

_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 53
"""Letters of a Kubernetes name (63) less what KServe appends."""


def put_python_app(folder: Path) -> None:
    """Copy the Python target's app, which servers and clients are built on."""
    app = files("toolkit.bundle") / "apps" / "python" / "app.py"
    (folder / app.name).write_bytes(app.read_bytes())


def served_name(model: AppModel) -> str:
    """The package's name as folders, addresses and Kubernetes take it: a-z, 0-9 and hyphens.

    Raises:
        InputError: Nothing is left of it.
    """
    name = _NAME.sub("-", model.name.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    if not name:
        raise InputError(
            f"the package's name {model.name!r} has no letter of the English alphabet",
            expected="a name that a server's address can have",
            fix="toolkit export ... -o NAME.ortpackage",
        )
    return name


def example_request(model: AppModel) -> str:
    """The body of a request for the first reference item, quoted for a shell."""
    item = example_item(model)
    if model.text is not None:
        texts = [item] if isinstance(item, str) else item
        assert isinstance(texts, list)
        named = zip(("text", "text_pair"), texts, strict=False)
        inputs = [_input(name, "BYTES", text) for name, text in named]
    elif model.columns is not None and isinstance(item, dict):
        inputs = [
            _input(one.name, "FP64", _number(item.get(one.name)))
            if isinstance(one, NumericColumn)
            else _input(one.name, "BYTES", str(item.get(one.name)))
            for one in model.columns
        ]
    elif model.image is not None:
        pixels = np.asarray(item)
        shape = [1, *pixels.shape, *([1] if pixels.ndim == 2 else [])]
        inputs = [{**_input("pixels", "UINT8", None), "shape": shape, "data": ["..."]}]
    else:
        inputs = [
            {"name": one.name, "shape": list(one.shape), "datatype": "...", "data": ["..."]}
            for one in model.self_test.cases[0].inputs
        ]
    return shlex.quote(json.dumps({"inputs": inputs}, ensure_ascii=False))


def _input(name: str, datatype: str, value: object) -> dict[str, object]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


def _number(cell: object) -> float | None:
    return None if cell in {None, ""} else float(str(cell))
