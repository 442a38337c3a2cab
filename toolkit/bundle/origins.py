"""Whose the files of an app are: this project's, but for a few that other projects publish."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from toolkit.bundle.sizes import LICENSES

APP_LICENSE = "Apache-2.0"
"""Of the app's own files, which are this project's."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a file comes from.

    Attributes:
        owner: Who holds the copyright.
        project: What it is part of.
        license: SPDX identifier.
    """

    owner: str
    project: str
    license: str


OWN = Origin(
    owner="the authors of onnx-edge-toolkit", project="onnx-edge-toolkit", license=APP_LICENSE
)

FOREIGN = {
    "include/onnxruntime_*.h": Origin(
        owner="Microsoft Corporation", project="ONNX Runtime", license="MIT"
    ),
    "model_config.pb": Origin(owner="NVIDIA Corporation", project="Triton", license="BSD-3-Clause"),
}
"""By pattern of the path in a bundle. The text of each license lies beside the files."""

_TEXT_NAMES = frozenset({"license", "licence", "copying", "thirdpartynotices"})
"""What files with a license are called, between the dots of their names."""


def is_license_text(path: str) -> bool:
    """Whether a file is the text of a license, which itself is under none.

    Args:
        path: Where it lies in the bundle, with slashes.
    """
    place = PurePosixPath(path)
    return place.parts[0] == LICENSES or bool(_TEXT_NAMES & {*place.name.lower().split(".")})


def origin_of(path: str) -> Origin | None:
    """Whose a file of an app is; None for the text of a license.

    Args:
        path: Where it lies in the bundle, with slashes.
    """
    if is_license_text(path):
        return None
    found = (origin for pattern, origin in FOREIGN.items() if fnmatchcase(path, pattern))
    return next(found, OWN)
