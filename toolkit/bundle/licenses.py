"""Which license holds for what of a bundle."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from toolkit.bundle.document import FOLDER
from toolkit.bundle.job import Job
from toolkit.bundle.report import Runtime
from toolkit.bundle.sbom import APP_LICENSE
from toolkit.bundle.sizes import LICENSES
from toolkit.errors import SetupError

NOTICE = "NOTICE.txt"

_TEXT_NAMES = frozenset({"license", "licence", "copying", "thirdpartynotices"})
"""What files with a license are called, between the dots of their names."""


def write_licenses(job: Job, folder: Path, runtime: Sequence[Runtime]) -> None:
    """Write `NOTICE.txt` and the license of the app's own files, `LICENSES/Apache-2.0.txt`.

    The text of a library that lies in the bundle was put there by its target, in `LICENSES` or
    among the library's files, and the notice lists it. Libraries beside the bundle bring theirs
    when they are installed.

    Args:
        job: The bundle that is being made.
        folder: Its folder.
        runtime: The libraries that the app needs.

    Raises:
        SetupError: The toolkit is not installed, so that its license is not at hand.
    """
    place = folder / LICENSES
    place.mkdir(exist_ok=True)
    (place / f"{APP_LICENSE}.txt").write_text(_own_license(), encoding="utf-8")
    source = job.package.contents.source
    lines = [
        f"{job.model.name} {job.model.version} for {job.model.target}",
        "",
        f"The app: {APP_LICENSE}, from onnx-edge-toolkit.",
        f"The model ({FOLDER}/): from the {source.kind} {source.name}; ask there for its license.",
        *(_library(one) for one in runtime),
        "",
        "License texts in this bundle:",
        *_texts(folder),
    ]
    (folder / NOTICE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _library(one: Runtime) -> str:
    where = "in the bundle" if one.included else "installed beside it"
    return f"{one.name} {one.version} ({where}): {one.license}."


def _texts(folder: Path) -> list[str]:
    """Every license text of a bundle, by its path."""
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    found = [
        file
        for file in files
        if file.parts[0] == LICENSES or _TEXT_NAMES & {*file.name.lower().split(".")}
    ]
    return sorted(file.as_posix() for file in found)


def _own_license() -> str:
    try:
        found = distribution("onnx-edge-toolkit").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        found = None
    if not found:
        raise SetupError(
            "the toolkit's own license, which goes into a bundle, is not at hand",
            expected="the toolkit as it was installed",
            fix="pip install onnx-edge-toolkit[bundle]",
        )
    return found
