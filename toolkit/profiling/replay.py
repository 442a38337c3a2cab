"""The model and the settings that repeat a stored run."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from toolkit.errors import InputError
from toolkit.package.integrity import file_sha256
from toolkit.profiling.specification import open_model
from toolkit.profiling.stored import Stored
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.entries import entries_text

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
    measured = [*stored.contenders.values()][1:] or [{} for _ in settings.against]
    against = [
        _found(text, file, source, facts, options)
        for text, facts in zip(settings.against, measured, strict=True)
    ]
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


def _found(
    text: str, file: Path, source: Path, measured: Mapping[str, Any], options: SessionOptions
) -> str:
    """A contender with the folders that its name left out."""
    head, *parts = text.split(",")
    if not head.startswith("peer:"):
        model, at, variant = head.partition("@")
        sha256 = str(measured.get("sha256", ""))

        def is_same(place: Path) -> bool:
            opened = open_model(place, variant=variant or None, options=options)
            return file_sha256(opened.file) == sha256

        wanted = _Wanted(name=model, is_same=is_same if sha256 else None)
        near = _near(wanted, file, fix=_BESIDE, first=[source])
        return ",".join([f"{near}{at}{variant}", *parts])
    for i, part in enumerate(parts):
        key, _, value = part.partition("=")
        if key == "source" and ":" not in value:
            near = _near(_Wanted(name=value), file, fix=_BESIDE, first=[source])
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
    """The model to repeat a run with: the one given, or that of its name near the result.

    Raises:
        InputError: Nothing of that name is there, or another model than was measured.
    """
    if given is not None:
        return given
    where = stored.environment

    def is_same(place: Path) -> bool:
        opened = open_model(place, variant=where.variant or None)
        return file_sha256(opened.file) == where.sha256

    wanted = _Wanted(name=where.model, is_same=is_same if where.sha256 else None)
    return _near(wanted, file, fix=f"toolkit profile PATH-OF-{where.model} --replay {file}")


def located(stored: Stored, file: Path) -> dict[str, Any]:
    """Data and input files of a stored run, which names them without their folders.

    Raises:
        InputError: One is neither beside the result nor here, or is another file than then.
    """

    def near(name: str, sha256: str) -> str:
        def is_same(place: Path) -> bool:
            return file_sha256(place) == sha256

        return str(
            _near(_Wanted(name=name, is_same=is_same if sha256 else None), file, fix=_BESIDE)
        )

    where, settings = stored.environment, stored.settings
    found: dict[str, Any] = {}
    if settings.get("data"):
        found["data"] = near(settings["data"], where.data_sha256)
    if settings.get("inputs"):
        found["inputs"] = {
            key: near(name, where.inputs_sha256.get(key, ""))
            for key, name in settings["inputs"].items()
        }
    return found


def differences(stored: Stored, document: Mapping[str, Any]) -> list[str]:
    """What is otherwise than when the stored run was measured, in words.

    Args:
        stored: The result that was repeated.
        document: That of the repetition.
    """
    now = msgspec.convert(document, Stored)
    here, there = now.environment, stored.environment
    notes = []
    if there.sha256 and here.sha256 != there.sha256:
        notes.append(f"the model is another file than then: {here.model}, was {there.model}")
    changed = [
        f"{key.replace('_', ' ')} {_plain(value)}, was {_plain(stored.session[key])}"
        for key, value in now.session.items()
        if key in stored.session and value != stored.session[key]
    ]
    if changed:
        notes.append(f"the session options are others than then: {'; '.join(changed)}")
    for name, mine, theirs in (
        ("CPU", here.cpu, there.cpu),
        ("cores", here.cores, there.cores),
        ("CPU quota", here.cpu_quota, there.cpu_quota),
    ):
        if mine != theirs:
            notes.append(f"the machine is another: {name} {_plain(mine)}, was {_plain(theirs)}")
    notes += [
        f"{name} is {here.versions.get(name, 'absent')}, was {version}"
        for name, version in there.versions.items()
        if here.versions.get(name) != version
    ]
    return notes


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return entries_text(value) or "none"
    return str(value) if value not in (None, "", []) else "none"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """Something that a result names, and whether what is found is it; None where nobody knows."""

    name: str
    is_same: Callable[[Path], bool] | None = None


def _near(wanted: _Wanted, file: Path, *, fix: str, first: Sequence[Path] = ()) -> Path:
    base = Path(wanted.name).name
    folders = (file.resolve().parent, Path.cwd())
    places = [
        *(place for place in first if place.name == base),
        *(folder / name for name in dict.fromkeys((wanted.name, base)) for folder in folders),
    ]
    others: list[Path] = []
    for place in places:
        if not place.exists():
            continue
        with suppress(InputError):  # a package without that variant is another one
            if wanted.is_same is None or wanted.is_same(place):
                return place
        others.append(place)
    if others:
        raise InputError(
            f"{others[0]} is not what was measured in {file}: its content is another",
            expected="the same file",
            fix=fix,
        )
    raise InputError(
        f"{wanted.name} is neither beside {file} nor here",
        expected="what was measured then",
        fix=fix,
    )
