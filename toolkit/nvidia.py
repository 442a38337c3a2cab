"""NVIDIA's driver on this machine, and what CUDA needs of it."""

import os
import re
import sys
from pathlib import Path

UNKNOWN = "unknown"
VERSION_FILE = Path("/proc/driver/nvidia/version")

NEEDED = {12: (525, 60), 13: (580, 65)}
"""The oldest driver for Linux by CUDA's major version.

Source: NVIDIA, CUDA Toolkit release notes, table "CUDA Toolkit and Minimum Required Driver Version
    for CUDA Minor Version Compatibility".
"""


def driver_version(file: Path = VERSION_FILE) -> str:
    """The version of the driver that is loaded, such as "580.95.05".

    Args:
        file: Where Linux's driver tells it.

    Returns:
        "unknown" where a driver does not tell it, empty where none is loaded.
    """
    if sys.platform == "win32":
        library = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32/nvcuda.dll")
        return UNKNOWN if library.is_file() else ""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    return found.group(1) if found else UNKNOWN


def too_old(driver: str, cuda: str) -> str:
    """The driver that a release of CUDA needs, where the one that is loaded is older.

    Args:
        driver: From `driver_version`.
        cuda: The release that ONNX Runtime was built with, such as "13.0"; empty for none.

    Returns:
        The version that is needed; empty where this one will do, or one of the two is unknown.
    """
    major = cuda.split(".", maxsplit=1)[0]
    needed = NEEDED.get(int(major)) if major.isdecimal() else None
    parts = [int(part) for part in driver.split(".") if part.isdecimal()]
    if needed is None or not parts or tuple(parts[:2]) >= needed:
        return ""
    return ".".join(map(str, needed))
