"""The libraries that an app needs: their versions and how large they are."""

from importlib.metadata import PackageNotFoundError, distribution

from toolkit.bundle.report import Runtime
from toolkit.errors import SetupError


def installed(name: str, license_id: str) -> Runtime:
    """A Python distribution as it is installed here, which the app is pinned to.

    Its size is that of its wheel, unpacked: what Python compiled of it here does not count, since
    other machines compile other parts of it.

    Args:
        name: The distribution.
        license_id: Its SPDX identifier; metadata spell it in too many ways to be read.

    Raises:
        SetupError: It is not installed.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise SetupError(
            f"{name} is not installed, so that no version can be pinned",
            expected=f"the {name} that the bundle is tested with",
            fix="pip install onnx-edge-toolkit[cpu,bundle]",
        ) from error
    located = [found.locate_file(file) for file in found.files or () if file.suffix != ".pyc"]
    sizes = [file.stat().st_size for file in located if file.is_file()]  # type: ignore[attr-defined]
    return Runtime(
        name=name,
        version=found.version,
        license=license_id,
        purl=f"pkg:pypi/{name}@{found.version}",
        size_bytes=sum(sizes) or None,
        included=False,
    )
