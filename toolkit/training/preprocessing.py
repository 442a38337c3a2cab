"""The folder of a run that holds its tokenizer or feature table, and the inputs that follow."""

from pathlib import Path
from typing import Any

from toolkit.errors import InputError
from toolkit.tasks import TaskSpec
from toolkit.tasks.tabular import FeatureTable
from toolkit.tensors import TensorSpec

TOKENIZER, FEATURES = "tokenizer.json", "features.json"


def write_preprocessing(task: TaskSpec, preprocessing: object, folder: Path) -> None:
    """Write a tokenizer or a feature table into a new folder.

    Raises:
        InputError: It is not what the task needs.
    """
    folder.mkdir()
    if task.text is not None:
        from tokenizers import Tokenizer

        if not isinstance(preprocessing, Tokenizer):
            raise _wrong(preprocessing, "a tokenizers.Tokenizer, since the task has a TextSpec")
        (folder / TOKENIZER).write_text(preprocessing.to_str(pretty=True), encoding="utf-8")
    elif task.image is None:
        if not isinstance(preprocessing, FeatureTable):
            raise _wrong(preprocessing, "a FeatureTable, since the task is tabular")
        preprocessing.write(folder / FEATURES)
    elif preprocessing is not None:
        raise _wrong(preprocessing, "None, since images need no file")


def read_preprocessing(task: TaskSpec, folder: Path) -> Any:
    """What `write_preprocessing` wrote: a `Tokenizer`, a `FeatureTable` or None.

    Raises:
        InputError: The file is missing or broken.
    """
    if task.text is not None:
        from toolkit.tasks.text import open_tokenizer

        return open_tokenizer(folder / TOKENIZER, task.text)
    return None if task.image is not None else FeatureTable.read(folder / FEATURES)


def input_specs(task: TaskSpec, preprocessing: object) -> tuple[TensorSpec, ...]:
    """The graph's inputs, with "batch" and "sequence" as symbolic dimensions."""
    if task.text is not None:
        shape = ("batch", "sequence")
        names = ("input_ids", "attention_mask")
        return tuple(TensorSpec(name=name, dtype="int64", shape=shape) for name in names)
    if task.image is not None:
        size = (len(task.image.mode), task.image.height, task.image.width)
        return (TensorSpec(name="image", dtype="float32", shape=("batch", *size)),)
    assert isinstance(preprocessing, FeatureTable)
    columns = [
        ("numeric", "float32", len(preprocessing.numeric)),
        ("categorical", "int64", len(preprocessing.categorical)),
    ]
    return tuple(
        TensorSpec(name=name, dtype=dtype, shape=("batch", count))
        for name, dtype, count in columns
        if count
    )


def _wrong(preprocessing: object, expected: str) -> InputError:
    return InputError(
        f"the recipe's `prepare` returned {type(preprocessing).__name__}", expected=expected
    )
