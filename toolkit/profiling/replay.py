"""The model and the settings that repeat a stored run."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from toolkit.errors import InputError
from toolkit.profiling.stored import Stored
from toolkit.runtime import Provider, SessionOptions

_BESIDE = "run it in the folder that holds it, or put the result there"


def replayed(stored: Stored, call: Callable[..., Any]) -> dict[str, Any]:
    """Arguments that repeat a stored run.

    Args:
        stored: The result.
        call: What takes them; settings that it has no parameter for are an error.

    Raises:
        InputError: This version cannot repeat the run.
    """
    known = inspect.signature(call).parameters
    of_session = {field.name for field in fields(SessionOptions)}
    unknown = [key for key in stored.settings if key not in known and key not in of_session]
    if unknown or "provider" not in stored.settings:
        raise InputError(
            f"the run cannot be repeated: its setting {(unknown or ['provider'])[0]!r} is "
            + ("unknown here" if unknown else "missing"),
            expected="a result of toolkit profile, written by this version",
        )
    session = {key: value for key, value in stored.settings.items() if key in of_session}
    options = SessionOptions(**{**session, "provider": Provider(session["provider"])})
    types = get_type_hints(call)
    try:
        rest = {
            key: msgspec.convert(value, types[key])
            for key, value in stored.settings.items()
            if key not in of_session
        }
    except msgspec.ValidationError as error:
        raise InputError(
            f"the run cannot be repeated: {error}", expected="a result written by this version"
        ) from error
    variant = stored.environment.variant or None  # it names the component too, if there are several
    return {**rest, "options": options, "component": None, "variant": variant}


def replayed_comparison(
    stored: Stored, file: Path, source: Path
) -> tuple[list[str], dict[str, Any]]:
    """What a stored comparison compared with, and the other arguments that repeat it.

    Args:
        stored: The result, whose scenario is "comparison".
        file: Where it lies: models and the sources of peers are looked for beside it, and here.
        source: The model that is compared.

    Raises:
        InputError: A model or a source is not found, or this version cannot repeat the comparison.
    """
    try:
        settings = msgspec.convert(stored.settings, _ComparisonSettings)
        session = {**settings.options, "provider": Provider(settings.options["provider"])}
        options = SessionOptions(**session)
    except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the comparison in {file} cannot be repeated: {error}",
            expected="a result of toolkit profile --compare, written by this version",
        ) from error
    against = [_found(text, file, source) for text in settings.against]
    return against, {
        "component": None,
        "variant": stored.environment.variant or None,
        "options": options,
        "budget_s": settings.budget_s,
        "factor": settings.factor,
        "sizes": settings.sizes,
        "seed": settings.seed,
        "tolerance": settings.tolerance,
    }


def _found(text: str, file: Path, source: Path) -> str:
    """A contender with the folders that its name left out."""
    head, *parts = text.split(",")
    if not head.startswith("peer:"):
        model, at, variant = head.partition("@")
        near = source if model == source.name else _near(model, file, fix=_BESIDE)
        return ",".join([f"{near}{at}{variant}", *parts])
    for i, part in enumerate(parts):
        key, _, value = part.partition("=")
        if key == "source" and ":" not in value:
            near = source if value == source.name else _near(value, file, fix=_BESIDE)
            parts[i] = f"source={near}"
    return ",".join([head, *parts])


class _ComparisonSettings(msgspec.Struct, frozen=True, kw_only=True):
    budget_s: float
    factor: float | None
    against: list[str]
    sizes: dict[str, int]
    seed: int
    tolerance: float
    options: dict[str, Any]


def replayed_source(stored: Stored, file: Path, given: Path | None) -> Path:
    """The model to repeat a run with: the one given, or one of its name near the result.

    Raises:
        InputError: Nothing of that name is there.
    """
    if given is not None:
        return given
    name = stored.environment.model
    return _near(name, file, fix=f"toolkit profile PATH-OF-{name} --replay {file}")


def _near(name: str, file: Path, *, fix: str) -> Path:
    for folder in (file.resolve().parent, Path.cwd()):
        if (folder / name).exists():
            return folder / name
    raise InputError(
        f"{name} is neither beside {file} nor here",
        expected="what was measured then",
        fix=fix,
    )
