"""The hidden folder beside a run that holds an unfinished training."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError

STATE_FILE = "state.json"
QAT = "qat"
"""The folder in it that holds the checkpoints of quantization-aware training, once that began."""
_ITS_SETTINGS = ("qat_epochs", "qat_rate")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What an unfinished training was started with.

    Attributes:
        recipe_sha256: Digest of the recipe's source.
        settings: All of them.
        options: What else the weights depend on, by the name of the command's option.
        origin: Digest of the weights of the run that it went on from; empty for none.
    """

    recipe_sha256: str
    settings: dict[str, Any]
    options: dict[str, Any] = {}
    origin: str = ""


def open_partial(output: Path, state: State, *, resume: bool, force: bool) -> Path:
    """The folder `.<output>.partial`: a new one, or that of the training to go on with.

    Args:
        output: Where the run directory will stand.
        state: What the training is started with.
        resume: Go on with what is there.
        force: Throw away what is there.

    Raises:
        InputError: An unfinished training is there and neither `resume` nor `force` was given; it
            was started with another recipe or other settings; or there is none to resume.
    """
    folder = output.parent / f".{output.name}.partial"
    if resume:
        _check_same(folder, state)
        _write_state(folder, state)  # it may have other settings of what has not begun
        return folder
    if folder.exists() and not force:
        raise InputError(
            f"{folder} holds an unfinished training",
            expected="no unfinished training of this run",
            fix="pass --resume to go on with it, or --force to start again",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_state(folder, state)
    return folder


def is_resumable(output: Path) -> bool:
    """Whether an interrupted training of this run lies beside it."""
    return (output.parent / f".{output.name}.partial" / STATE_FILE).is_file()


def _write_state(folder: Path, state: State) -> None:
    new = folder / f"{STATE_FILE}.new"
    new.write_bytes(msgspec.json.encode(state))
    new.replace(folder / STATE_FILE)


def _check_same(folder: Path, state: State) -> None:
    try:
        found = msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=State)
    except OSError as error:
        raise InputError(
            f"there is no unfinished training at {folder}",
            expected="one that was interrupted",
            fix="leave out --resume",
        ) from error
    except msgspec.MsgspecError as error:
        raise InputError(
            f"{folder / STATE_FILE} is damaged: {error}", fix="pass --force to start again"
        ) from error
    if found.recipe_sha256 != state.recipe_sha256:
        raise InputError(
            f"{folder} was started with another version of the recipe",
            expected=f"sha256 {found.recipe_sha256}, found {state.recipe_sha256}",
            fix="pass --force to start again",
        )
    if found.origin != state.origin:
        raise InputError(
            f"{folder} was started {'from another run' if found.origin else 'without --from'}",
            expected=f"weights with sha256 {found.origin}" if found.origin else "no --from",
            fix="pass --force to start again",
        )
    free = () if (folder / QAT).exists() else _ITS_SETTINGS
    for name, value in found.settings.items():
        if name not in free and state.settings.get(name) != value:
            raise InputError(
                f"setting {name!r} is {state.settings.get(name)!r}",
                expected=f"{value!r}, with which {folder} was started",
                fix=f"pass --set {name}={value}, or --force to start again",
            )
    for name, value in (dict.fromkeys(state.options) | found.options).items():
        if state.options.get(name) != value:
            given, wanted = (_shown(one.options.get(name)) for one in (state, found))
            raise InputError(
                f"--{name} is {given}",
                expected=f"{wanted}, with which {folder} was started",
                fix="pass the same options as before, or --force to start again",
            )


def _shown(value: object) -> str:
    if value is True:
        return "given"
    return "not given" if value is None else str(value)
