"""Items as READMEs of apps in JavaScript show them."""

import json

from toolkit.bundle.document import AppModel
from toolkit.bundle.examples import SHORT

_FIRST = "model.about.self_test.cases[0].item"


def javascript(model: AppModel) -> str:
    """The first reference item as it stands in a program; arrays of zeros where tensors go in."""
    case = model.self_test.cases[0]
    if case.item is None:
        zeros = {one.name: _zeros(one.shape) for one in case.inputs}
        written = json.dumps(zeros)
        return written if len(written) <= SHORT else "tensors"
    written = json.dumps(case.item, ensure_ascii=False)
    return written if len(written) <= SHORT else _FIRST


def _zeros(shape: tuple[int, ...]) -> object:
    return [_zeros(shape[1:])] * shape[0] if shape else 0
