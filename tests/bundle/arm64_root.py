"""A root file system of Debian for arm64 with Python, made by apt without a change to this machine.

    python -m tests.bundle.arm64_root FOLDER

apt resolves and checks the packages in a state of its own, so that neither root's rights nor a
foreign architecture of dpkg is needed; they are unpacked, nothing of them is run.
"""

import subprocess
import sys
from pathlib import Path

PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6")


def make_root(folder: Path) -> Path:
    """The root, in a folder that may hold it already.

    Raises:
        subprocess.CalledProcessError: apt did not get the packages.
    """
    root = folder / "root"
    if root.is_dir():
        return root
    for name in ("state/lists/partial", "cache/archives/partial", "unpacked"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
    }
    apt = ["apt-get", "--quiet=2", *(f"-o{key}={value}" for key, value in settings.items())]
    install = ["install", "--yes", "--no-install-recommends", "--download-only", *PACKAGES]
    for command in (["update"], install):
        subprocess.run([*apt, *command], check=True, timeout=300, stdout=subprocess.DEVNULL)
    unpacked = folder / "unpacked"
    for archive in sorted((folder / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True, timeout=120)
    unpacked.rename(root)
    return root


if __name__ == "__main__":
    print(make_root(Path(sys.argv[1])))  # noqa: T201 - the command's result
