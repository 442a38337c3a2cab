"""What a user types first: one of the reference items, in a shell or a program."""

import json
import shlex

from toolkit.bundle.document import AppModel

SHORT = 120
"""Characters of an item that a README shows."""


def example_item(model: AppModel) -> object:
    """The first reference item; zeros in the shape of the first case where tensors go in."""
    case = model.self_test.cases[0]
    if case.item is not None:
        return case.item
    return {one.name: f"{one.dtype}{list(one.shape)}" for one in case.inputs}


def takes_plain_text(model: AppModel) -> bool:
    """Whether an item is one text, which needs no JSON around it; two texts do."""
    return model.text is not None and not isinstance(model.self_test.cases[0].item, list | tuple)


def shell_example(model: AppModel) -> str:
    """The item as one argument in a shell."""
    item = example_item(model)
    return shlex.quote(item if isinstance(item, str) else json.dumps(item))


def typed(model: AppModel) -> str:
    """The item as it is typed behind an app's name; a file where it is long or of tensors."""
    example = shell_example(model)
    is_typed = model.self_test.cases[0].item is not None and len(example) <= SHORT
    return example if is_typed else "< items.jsonl"


def python_example(model: AppModel) -> str:
    """The item as it stands in a Python program; long ones are read from the document."""
    case = model.self_test.cases[0]
    if case.item is None:
        arrays = (f'"{one.name}": np.zeros({one.shape}, np.{one.dtype})' for one in case.inputs)
        return f"{{{', '.join(arrays)}}}"
    written = repr(case.item)
    return written if len(written) <= SHORT else 'model.about["self_test"]["cases"][0]["item"]'
