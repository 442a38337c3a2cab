"""How large the parts of a bundle are, and whether that is too large."""

import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

from toolkit.bundle.document import FOLDER, TENSORS
from toolkit.bundle.report import Part, Runtime
from toolkit.errors import CheckFailedError, InputError

RUNTIME_FOLDER = "runtime"
"""Where a bundle carries files of its runtime."""

LICENSES = "LICENSES"
"""Where the texts of licenses lie."""

REPOSITORY_FOLDER = "models"
"""Where a bundle for Triton keeps the graph."""

_DOCUMENTS = {".md", ".txt", ".json", ".sig"}
_BLOCK = 1 << 20
_GZIP = 31  # zlib's window bits for gzip's frame


def parts_of(folder: Path, *, over_the_wire: bool) -> list[Part]:
    """Every file of a bundle, largest first.

    Args:
        folder: The bundle.
        over_the_wire: Whether sizes after gzip are wanted too, of what a page asks for: documents
            are none of that.
    """
    found = []
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        kind = kind_of(file.relative_to(folder))
        is_sent = over_the_wire and kind != "document"
        found.append(
            Part(
                path=file.relative_to(folder).as_posix(),
                kind=kind,
                size_bytes=file.stat().st_size,
                wire_bytes=_gzipped(file) if is_sent else None,
            )
        )
    return sorted(found, key=lambda part: (-part.size_bytes, part.path))


def kind_of(path: Path) -> str:
    """The kind of a part; see `Part`.

    Args:
        path: Where it lies in the bundle.
    """
    if path.parts[0] == FOLDER:
        return "self-test" if path.name == TENSORS else "model"
    if path.parts[0] == REPOSITORY_FOLDER:
        return "model"
    if path.parts[0] == RUNTIME_FOLDER:
        return "runtime"
    if path.parts[0] == LICENSES:
        return "document"
    is_document = len(path.parts) == 1 and path.suffix in _DOCUMENTS
    return "document" if is_document else "app"


def _gzipped(file: Path) -> int:
    compressor = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    total = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total += len(compressor.compress(block))
    return total + len(compressor.flush())


def check_size(
    parts: Sequence[Part],
    runtime: Sequence[Runtime],
    most: int | None,
    *,
    float_only: Collection[str] = (),
) -> None:
    """Refuse a bundle that is larger than it may be.

    Args:
        parts: Its files.
        runtime: What it needs beside; of the size, only what lies in the bundle counts.
        most: Bytes; None for any size.
        float_only: Names of files of the runtime that the bundle of an int8 variant leaves out.

    Raises:
        CheckFailedError: It is larger.
    """
    size = sum(part.size_bytes for part in parts)
    if most is None or size <= most:
        return
    largest = ", ".join(f"{part.path} {part.size_bytes / 1e6:.2f} MB" for part in parts[:3])
    beside = [one for one in runtime if not one.included and one.size_bytes]
    more = "".join(f"; {one.name} beside it {(one.size_bytes or 0) / 1e6:.1f} MB" for one in beside)
    raise CheckFailedError(
        f"the bundle has {size / 1e6:.2f} MB ({largest}{more})",
        expected=f"at most {most / 1e6:.2f} MB, of --max-size",
        fix=_what_shrinks(parts, most, float_only),
    )


def _what_shrinks(parts: Sequence[Part], most: int, float_only: Collection[str]) -> str:
    """What can be done, which is nothing about a runtime that is larger than the whole may be."""
    carried = [part for part in parts if part.kind == "runtime"]
    left_out = sum(part.size_bytes for part in carried if Path(part.path).name in float_only)
    least = sum(part.size_bytes for part in carried) - left_out
    if least >= most:
        which = ", even for an int8 variant" if left_out else ""
        return f"--max-size well above {least / 1e6:.1f}MB: the runtime alone has that{which}"
    if left_out:
        return (
            f"an int8 variant (toolkit quantize), which also leaves {left_out / 1e6:.1f} MB of "
            f"the runtime out; {least / 1e6:.1f} MB of it stay"
        )
    stays = f"; the runtime's {least / 1e6:.1f} MB stay" if least else ""
    return f"a smaller variant (toolkit quantize), or --trim TEXTS for a large vocabulary{stays}"


def check_graph_size(size_bytes: int, most: int | None, what: str, package: Path) -> None:
    """Refuse a graph that is larger than what a target can load.

    Args:
        size_bytes: Of the graph with its weights, as the bundle has it.
        most: What the target can load; None for any size.
        what: What the graph is called.
        package: Where it comes from.

    Raises:
        InputError: It is larger.
    """
    if most is None or size_bytes <= most:
        return
    raise InputError(
        f"{what} has {size_bytes / 1e6:,.1f} MB in the bundle",
        expected=f"at most {most / 1e6:,.1f} MB, which is what the target can load",
        fix=f"a smaller variant: toolkit quantize {package}",
    )
