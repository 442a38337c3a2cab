"""A result that `toolkit profile --json` printed, read again."""

from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError


class StoredEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored result says of where it was measured."""

    model: str
    cpu: str
    cores: int
    os: str
    date: str
    sha256: str = ""
    variant: str = ""
    cpu_quota: float | None = None
    cpu_features: list[str] = []
    governor: str = ""
    shapes: dict[str, list[int]] = {}
    versions: dict[str, str] = {}


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `toolkit profile --json` that a comparison or a repetition needs."""

    scenario: str
    environment: StoredEnvironment
    settings: dict[str, Any]
    provider: str = ""
    latency_ms: dict[str, float] = {}
    interval_95: dict[str, tuple[float, float]] = {}
    p50_by_process: list[float] = []


def read_result(file: Path) -> Stored:
    """A result that `toolkit profile --json` printed.

    Raises:
        InputError: The file is missing, or is no such result.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Stored)
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}",
            expected="a result of toolkit profile",
            fix=f"toolkit profile PKG --json > {file}",
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{file} is no result of toolkit profile: {error}",
            expected="what toolkit profile --json prints",
        ) from error
