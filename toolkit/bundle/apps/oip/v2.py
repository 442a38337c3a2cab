"""The Open Inference Protocol, version 2, as JSON over HTTP: tensors, and calls to a server."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {
    "bool": "BOOL",
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
"""The protocol's name of an element type by numpy's; texts are BYTES."""
_DTYPES = {name: dtype for dtype, name in NAMES.items()}


class ServerError(Exception):
    """The server refused, or did not answer."""


def tensor(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """An array as the protocol writes it, row by row."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": NAMES[array.dtype.name],
        "data": array.reshape(-1).tolist(),
    }


def array(entry: Mapping[str, Any]) -> NDArray[Any]:
    """The array of a tensor with numbers.

    Raises:
        ValueError: The type is none of the protocol's, a number does not fit it, or there are more
            or fewer numbers than the shape says.
    """
    kind = entry["datatype"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"{entry['name']}: the datatype {kind!r} is none of {', '.join(_DTYPES)}")
    dtype = np.dtype(_DTYPES[kind])
    values = np.asarray(entry["data"])
    if values.size and values.dtype.kind not in {"b": "b", "f": "iuf"}.get(dtype.kind, "iu"):
        raise ValueError(f"{entry['name']}: the data are no numbers of the datatype {kind}")
    if values.size and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            raise ValueError(f"{entry['name']}: a number does not fit the datatype {kind}")
    return values.astype(dtype).reshape(shape_of(entry))


def shape_of(entry: Mapping[str, Any]) -> list[int]:
    """The shape of a tensor.

    Raises:
        ValueError: It is no list of sizes.
    """
    shape = entry["shape"]
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{entry['name']}: the shape {shape!r} is no list of sizes")
    return shape


def call(url: str, body: object = None, *, timeout_s: float = 30.0) -> Any:
    """What a server answers: to a POST of the body, or to a GET where there is none.

    Raises:
        ServerError: It refused, which its message explains, or did not answer.
    """
    if not url.startswith(("http://", "https://")):
        raise ServerError(f"{url} is no address that begins with http:// or https://")
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, content, headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - the same
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise ServerError(f"{url}: {error}") from error
    return json.loads(text) if text else None


def infer(
    url: str, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout_s: float = 30.0
) -> dict[str, NDArray[Any]]:
    """Outputs by name.

    Args:
        url: Of the model: SERVER/v2/models/NAME.
        feeds: The graph's inputs.
        outputs: The names of those that are wanted.
        timeout_s: How long the server may take.
    """
    body = {
        "inputs": [tensor(name, value) for name, value in feeds.items()],
        "outputs": [{"name": name} for name in outputs],
    }
    answer = call(f"{url}/infer", body, timeout_s=timeout_s)
    return {entry["name"]: array(entry) for entry in answer["outputs"]}
