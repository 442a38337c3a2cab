"""The C tokenizer of the target `c`, with the model's vocabulary, for apps in other languages."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from toolkit.bundle.c_source import tokenizer_source
from toolkit.bundle.job import Job
from toolkit.bundle.tokenizing import check_tokenizer, tables_of
from toolkit.errors import InputError

_APP = "c"
_SOURCES = ("characters.c", "characters.h", "model_data.h", "tokenizer.c", "tokenizer.h")
_TOKENIZER = "tokenizer.json"


def check_text(job: Job, target: str) -> None:
    """Refuse a tokenizer that the C code cannot be.

    Args:
        job: The bundle that is made.
        target: Who cannot hold it.

    Raises:
        InputError: Part of the tokenizer is of a kind that the C code does not have.
    """
    if job.model.text is None:
        return
    folder = job.package.asset("preprocessing")
    if folder is None:
        raise InputError(f"{job.package.path} has no tokenizer", fix="export the package again")
    check_tokenizer((folder / _TOKENIZER).read_text(encoding="utf-8"), target)


def write_tokenizer(tokenizer: Path, folder: Path) -> None:
    """Put the sources into a folder: `src/`, `include/` and `data/tokenizer.c`.

    Args:
        tokenizer: The bundle's `tokenizer.json`.
        folder: Where to.
    """
    app = files("toolkit.bundle") / "apps" / _APP
    for name in _SOURCES:
        _copy(app / "src" / name, folder / "src" / name)
    for entry in (app / "include").iterdir():
        _copy(entry, folder / "include" / entry.name)
    data = folder / "data" / "tokenizer.c"
    data.parent.mkdir()
    text = tokenizer.read_text(encoding="utf-8")
    data.write_text(tokenizer_source(tables_of(text)), encoding="utf-8")


def _copy(source: Traversable, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
