"""The files that become an app: copied as they are, or rendered where they are templates."""

import os
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import SetupError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = ".j2"
_NO_APP = frozenset({"__pycache__"})


def write_app(name: str, folder: Path, values: Mapping[str, object]) -> None:
    """Put the files of `toolkit/bundle/apps/NAME` into a bundle.

    What ends in `.j2` is rendered by Jinja and loses that ending; a value that a template names
    and nobody gave is an error. A file's permission to be run is kept.

    Args:
        name: The folder below `apps`.
        folder: The bundle's folder.
        values: What templates may name.

    Raises:
        SetupError: The extra `bundle` is not installed.
    """
    _copy(files("toolkit.bundle") / "apps" / name, folder, _templates(), values)


def _templates() -> "Environment":
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise SetupError(
            "bundles need Jinja, which is not installed",
            expected="the extra `bundle`",
            fix="pip install onnx-edge-toolkit[bundle]",
        ) from error
    # The files are source code and Markdown: what HTML needs is escaped where a template writes it.
    return Environment(  # noqa: S701
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )


def _copy(
    source: Traversable, folder: Path, templates: "Environment", values: Mapping[str, object]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name in _NO_APP:
            continue
        if entry.is_dir():
            _copy(entry, folder / entry.name, templates, values)
            continue
        content = entry.read_bytes()
        target = folder / entry.name.removesuffix(TEMPLATE)
        if entry.name.endswith(TEMPLATE):
            content = templates.from_string(content.decode()).render(values).encode()
        target.write_bytes(content)
        if isinstance(entry, os.PathLike) and os.access(entry, os.X_OK):
            target.chmod(0o755)
