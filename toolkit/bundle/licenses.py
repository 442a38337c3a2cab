"""Which license holds for what of a bundle."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from toolkit.bundle.document import FOLDER
from toolkit.bundle.job import Job
from toolkit.bundle.origins import APP_LICENSE, OWN, Origin, is_license_text, origin_of
from toolkit.bundle.report import Runtime
from toolkit.bundle.sizes import LICENSES, kind_of
from toolkit.errors import SetupError

NOTICE = "NOTICE.txt"
_NOTICES = "ThirdPartyNotices.txt"

_LINKS_OTHERS = frozenset({"onnxruntime-web"})
"""Libraries whose binaries hold other projects' code and whose package does not say whose. ONNX
Runtime is built of the same sources for every platform, and its wheel has the notices."""


def write_licenses(job: Job, folder: Path, runtime: Sequence[Runtime]) -> None:
    """Write `NOTICE.txt` and the license of the app's own files, `LICENSES/Apache-2.0.txt`.

    The text of a library that lies in the bundle was put there by its target, in `LICENSES` or
    among the library's files, and the notice lists it; the notices of what a library links come
    from here. Libraries beside the bundle bring theirs when they are installed.

    Args:
        job: The bundle that is being made.
        folder: Its folder.
        runtime: The libraries that the app needs.

    Raises:
        SetupError: The toolkit or ONNX Runtime is not installed, so that a license is not at hand.
    """
    place = folder / LICENSES
    place.mkdir(exist_ok=True)
    (place / f"{APP_LICENSE}.txt").write_text(_own_license(), encoding="utf-8")
    for one in runtime:
        if one.included and one.name in _LINKS_OTHERS:
            notices = place / f"{one.name}.ThirdPartyNotices.txt"
            notices.write_text(_third_party_notices(), encoding="utf-8")
    source = job.package.contents.source
    lines = [
        f"{job.model.name} {job.model.version} for {job.model.target}",
        "",
        f"The app: {OWN.license}, copyright {OWN.owner}.",
        *_foreign(folder),
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


def _foreign(folder: Path) -> list[str]:
    """What of the app is other projects'."""
    found: dict[Origin, list[str]] = {}
    for name in _names(folder):
        origin = origin_of(name) if kind_of(Path(name)) == "app" else None
        if origin is not None and origin != OWN:
            found.setdefault(origin, []).append(name)
    return [
        f"{', '.join(names)}, of {one.project}: {one.license}, copyright {one.owner}."
        for one, names in found.items()
    ]


def _texts(folder: Path) -> list[str]:
    """Every license text of a bundle, by its path."""
    return [name for name in _names(folder) if is_license_text(name)]


def _names(folder: Path) -> list[str]:
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(file.as_posix() for file in files)


def _third_party_notices() -> str:
    """Whose code ONNX Runtime links, as its wheel says."""
    spec = find_spec("onnxruntime")
    file = None if spec is None or spec.origin is None else Path(spec.origin).parent / _NOTICES
    if file is None or not file.is_file():
        raise SetupError(
            "the notices of what ONNX Runtime links, which go into a bundle, are not at hand",
            expected=f"{_NOTICES} of the onnxruntime wheel",
            fix="pip install onnx-edge-toolkit[cpu]",
        )
    return file.read_text(encoding="utf-8")


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
