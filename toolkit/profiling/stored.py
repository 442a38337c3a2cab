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
    package_sha256: str = ""
    data_sha256: str = ""
    inputs_sha256: dict[str, str] = {}
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
    session: dict[str, Any] = {}
    contenders: dict[str, dict[str, Any]] = {}
    operators: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None


def read_result(file: Path) -> Stored:
    """A result that `toolkit profile --json` printed.

    Raises:
        InputError: The file is missing, or is no such result.
    """
    try:
        content = file.read_bytes()
        _check_kind(content, file)
        return msgspec.json.decode(content, type=Stored)
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
            fix=f"toolkit profile PKG --json > {file}",
        ) from error


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str = ""
    points: list[Any] | None = None


def _check_kind(content: bytes, file: Path) -> None:
    """Refuse results of which there is no single run."""
    kind = msgspec.json.decode(content, type=_Kind)
    if kind.points is not None:
        raise InputError(
            f"{file} holds {len(kind.points)} profiles, one a size",
            expected="the result of one profile, or of a comparison",
            fix=f"jq '.points[0]' {file} > ONE.json",
        )
    if kind.scenario == "tuning":
        raise InputError(
            f"{file} is what --tune found: it holds no profile",
            expected="the result of a profile, or of a comparison",
            fix="toolkit profile PKG --json > RESULT.json, or --tune once more",
        )
