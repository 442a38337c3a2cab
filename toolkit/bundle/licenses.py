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


def write_licenses(job: Job, folder: Path, runtime: Sequence[Runtime]) -> None:
    """Write `NOTICE.txt` and the license of the app's own files, `LICENSES/Apache-2.0.txt`.

    A library that lies in the bundle brings its own text: its target put `LICENSES/NAME.txt` there,
    or the library's files hold it. Of libraries beside it none is given: installing them does that.

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
        f"The app: {APP_LICENSE}, from onnx-edge-toolkit. See {LICENSES}/{APP_LICENSE}.txt.",
        f"The model ({FOLDER}/): from the {source.kind} {source.name}; ask there for its license.",
        *(_library(one, folder) for one in runtime),
    ]
    (folder / NOTICE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _library(one: Runtime, folder: Path) -> str:
    text = Path(LICENSES) / f"{one.name.rsplit('/', maxsplit=1)[-1]}.txt"
    where = "in the bundle" if one.included else "installed beside it"
    see = f". See {text.as_posix()}." if (folder / text).is_file() else "."
    return f"{one.name} {one.version} ({where}): {one.license}{see}"


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
