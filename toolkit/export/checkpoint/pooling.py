"""How the token states of a checkpoint become one embedding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.export.checkpoint import Opened

_MODULES = "modules.json"
_POOLING = "1_Pooling/config.json"
_KNOWN = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "mean": "mean",
    "cls": "cls",
}
_STEPS = ("Transformer", "Pooling", "Normalize")


def pooling_of(opened: Opened) -> tuple[str, bool]:
    """The name of the pooling ("mean", "cls", "pooler" or "none"), and whether to normalize.

    sentence-transformers writes both down beside the model (`modules.json`, `1_Pooling`); without
    its files it is the mean, as it is.

    Raises:
        InputError: Its files are damaged or ask for something else, or the model has no pooler.
    """
    directory = opened.files.path
    steps = _steps(directory / _MODULES)
    normalize = "Normalize" in steps
    asked = opened.options.pooling
    if asked == "pooler" and getattr(opened.model, "pooler", None) is None:
        raise InputError(
            f"{opened.config.model_type}, the model of {directory}, has no pooler",
            expected="--pooling mean, cls or none",
        )
    if asked is not None:
        return asked, normalize
    if not (directory / _POOLING).is_file():
        return "mean", normalize
    said = _json(directory / _POOLING, dict)
    chosen = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
    if isinstance(said.get("pooling_mode"), str):
        chosen.append(said["pooling_mode"])
    if len(chosen) != 1 or chosen[0] not in _KNOWN:
        raise InputError(
            f"{directory / _POOLING} asks for {' and '.join(chosen) or 'no pooling'}",
            expected=" or ".join(_KNOWN),
            fix="--pooling mean|cls|pooler|none",
        )
    return _KNOWN[chosen[0]], normalize


def _steps(file: Path) -> list[str]:
    """The last words of the classes that make an embedding."""
    if not file.is_file():
        return []
    listed = [str(step.get("type", "")) for step in _json(file, list) if isinstance(step, dict)]
    steps = [name.rpartition(".")[2] for name in listed]
    unknown = [name for name in steps if name not in _STEPS]
    if unknown:
        raise InputError(
            f"{file} puts {unknown[0]} behind the model, which is not exported",
            expected=f"steps among {', '.join(_STEPS)}",
        )
    return steps


def _json(file: Path, kind: type) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no valid JSON: {error}") from error
    if not isinstance(found, kind):
        raise InputError(f"{file} holds {type(found).__name__}", expected=kind.__name__)
    return found
