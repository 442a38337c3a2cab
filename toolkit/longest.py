"""What a size beyond a text model's longest text does, said in words of the user's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from toolkit.errors import InputError
from toolkit.package import ModelPackage


@contextmanager
def too_long_explained(package: ModelPackage, sizes: Mapping[str, int]) -> Iterator[None]:
    """Where a graph does not open, say so if more tokens were asked for than its texts have.

    More are not refused beforehand: many a graph takes them, as padding.

    Args:
        package: The package.
        sizes: Sizes of dimensions by name, as they were fixed.

    Raises:
        InputError: What was raised inside, or that the size is the likely reason.
    """
    try:
        yield
    except InputError as error:
        text = package.contents.task.text
        tokens = {spec.shape[1] for spec in package.inputs if len(spec.shape) == 2}
        long = [name for name in sizes if text and name in tokens and sizes[name] > text.max_length]
        if text is None or not long:
            raise
        name = long[0]
        raise InputError(
            f"{package.path} does not open with {name}={sizes[name]}: its texts have at most "
            f"{text.max_length} tokens",
            expected=f"{name} of 2 to {text.max_length}",
            fix=f"{name}={text.max_length} in --fix-shapes",
        ) from error
