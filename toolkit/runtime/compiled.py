"""Graphs that were compiled ahead of time, and whether this chip and this SDK take them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from toolkit.runtime.failures import CompiledModelError
from toolkit.runtime.plugins import is_installed
from toolkit.runtime.providers import Provider

METADATA_KEY = "ep_compatibility_info."
"""The key of a compiled model's metadata, before the provider's name (ONNX Runtime 1.31)."""


@dataclass(frozen=True, kw_only=True)
class QnnCompatibility:
    """What QNN says of a context binary that it wrote.

    Attributes:
        sdk: The release of the SDK that compiled it, such as "2.51.0".
        chips: Numbers of the chips that it was compiled for.
    """

    sdk: str
    chips: tuple[int, ...]

    @classmethod
    def parsed(cls, text: str) -> "QnnCompatibility | None":
        """Read a string such as "v2:6:2.51.0:5.51.0:0:57:0:0"; None where it is another format.

        Source: the strings that onnxruntime-qnn 2.7.0 wrote for several chips: version, back end,
            release of the SDK, of the back end, architectures, chips, VTCM sizes, a flag.
        """
        parts = text.split(":")
        if len(parts) < 6 or parts[0] != "v2":
            return None
        chips = parts[5].split(",")
        if not all(chip.isdecimal() for chip in chips) or not re.fullmatch(r"[\d.]+", parts[2]):
            return None
        return cls(sdk=parts[2], chips=tuple(map(int, chips)))


def compatibility_of(raw: Any, provider: Provider) -> str:
    """The compatibility string in an `onnxruntime.InferenceSession`'s model; empty for none."""
    metadata: Mapping[str, str] = raw.get_modelmeta().custom_metadata_map
    return str(metadata.get(METADATA_KEY + provider.ort_name, ""))


def check_compiled(
    compatibility: str, provider: Provider, asked: Mapping[str, str], model: str
) -> None:
    """Refuse graphs that were compiled for another chip, or with a newer SDK than the one here.

    QNN's simulator runs the binary of any chip, and would answer for the wrong one.

    Args:
        compatibility: From the model's metadata, or from its package; empty for no compiled graph.
        provider: What shall run it.
        asked: Provider options that were given, as `given_options` spells them; without
            `soc_model` any chip will do.
        model: What the model is called, for messages.

    Raises:
        CompiledModelError: The chip or the SDK is another one.
    """
    known = QnnCompatibility.parsed(compatibility)
    if provider is not Provider.QNN or known is None:
        return
    chip = int(asked.get("soc_model", "0"))
    if chip and known.chips != (0,) and chip not in known.chips:
        compiled = ", ".join(map(str, known.chips))
        raise CompiledModelError(
            f"{model} was compiled for chip {compiled}, and soc_model is {chip}",
            expected=f"soc_model={compiled}",
            fix=f"toolkit compile PKG --provider qnn --soc {chip}, or another --variant",
        )
    here = installed_sdk()
    if here and _release(known.sdk) > _release(here):
        raise CompiledModelError(
            f"{model} was compiled with release {known.sdk} of QNN's SDK, and {here} is installed",
            expected=f"{known.sdk} or later",
            fix="pip install --upgrade onnxruntime-qnn, or toolkit compile PKG --provider qnn",
        )


def installed_sdk() -> str:
    """The release of QNN's SDK in the installed wheel, such as "2.51.0"; empty where unknown."""
    if not is_installed(Provider.QNN):
        return ""
    module = import_module(f"{Provider.QNN.plugin}.build_and_package_info")
    return str(getattr(module, "qnn_version", ""))


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
