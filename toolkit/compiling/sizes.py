"""The size that every symbolic dimension gets where a provider needs fixed ones."""

from collections.abc import Mapping

from toolkit.errors import InputError
from toolkit.evaluate.validation import reference_feeds
from toolkit.optimize.sizing import Resizing
from toolkit.package import ModelPackage
from toolkit.runtime.dimensions import (
    UNNAMED,
    check_names,
    check_sizes,
    how_to_fix,
    needs_sizes,
    symbolic,
)

TOKENS = "sequence"
"""How exporters call the dimension of a text's tokens."""


def chosen_sizes(package: ModelPackage, given: Mapping[str, int]) -> dict[str, int]:
    """A size for every symbolic dimension of the component's inputs.

    One that is not given is 1 for the batch, the model's longest text for the tokens, which cuts no
    text, and otherwise what it is in the reference inputs.

    Args:
        package: The package, with a component in focus.
        given: Sizes by name.

    Raises:
        InputError: A size is below 1 or of no dimension, or nothing says the size of one.
    """
    check_sizes(given)
    check_names(given, package.inputs, str(package.path))
    names = symbolic(package.inputs)
    if all(name in given for name in names):
        return dict(given)
    if UNNAMED in names or package.asset("reference") is None:
        raise InputError(
            needs_sizes(package.inputs, "what is compiled"),
            expected="one size a dimension; the package has none to choose"
            if UNNAMED not in names
            else "dimensions with names",
            fix=how_to_fix(package.inputs, given),
        )
    resizing = Resizing(package.inputs, reference_feeds(package))
    text = package.contents.task.text
    chosen = {**resizing.sizes}
    if resizing.batch:
        chosen[resizing.batch] = 1
    if text is not None and TOKENS in chosen and len(package.component_names) == 1:
        chosen[TOKENS] = text.max_length
    chosen.update(given)
    for name in names:
        if name not in chosen:  # the sum of others, as its name says
            chosen[name] = sum(chosen[part] for part in name.split(" + "))
    return chosen
