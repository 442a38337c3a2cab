"""Execution providers in libraries of their own, which a session takes by their devices."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import onnxruntime as ort

from toolkit.errors import SetupError
from toolkit.runtime.failures import NoProviderError
from toolkit.runtime.providers import Provider

_REGISTERING = Lock()

_BACK_ENDS = {"htp": "NPU", "gpu": "GPU", "cpu": "CPU"}
"""The kind of device that a back end of QNN runs on."""


def is_installed(provider: Provider) -> bool:
    """Whether the wheel that ships the provider's library is installed."""
    return bool(provider.plugin) and find_spec(provider.plugin) is not None


def devices(provider: Provider, options: dict[str, str]) -> list[Any]:
    """The device of a plugin provider that its options ask for, in a list as a session takes it.

    Args:
        provider: A provider whose wheel is installed, or that ONNX Runtime registered by itself.
        options: Its options; one that the choice of a device has answered is taken out.

    Raises:
        NoProviderError: The library does not load, or finds no device.
        SetupError: It finds none of the kind.
    """
    _register(provider)
    found = [one for one in ort.get_ep_devices() if one.ep_name == provider.ort_name]
    if not found:
        raise NoProviderError(
            f"{provider.ort_name} is registered and finds no device here",
            expected=f"hardware that {provider} runs on, with its driver",
            fix="toolkit doctor   (says what starts here), or --allow-fallback to take the CPU",
        )
    if provider is Provider.QNN:
        # The simulator calls itself a CPU, so the back end is a preference.
        return [_of_kind(found, _BACK_ENDS.get(options.get("backend_type", ""), "")) or found[0]]
    asked = options.pop("device_type", "").upper()  # the plugin of OpenVINO ignores it
    chosen = _of_kind(found, asked) if asked else found[0]
    if chosen is None:
        kinds = dict.fromkeys(one.device.type.name for one in found)
        raise SetupError(
            f"{provider.ort_name} has no device {asked!r} here",
            expected=f"one of {', '.join(kinds)}",
        )
    return [chosen]


def has_devices(provider: Provider) -> bool:
    """Whether ONNX Runtime registered the provider's library by itself, as its CUDA builds do."""
    return any(one.ep_name == provider.ort_name for one in ort.get_ep_devices())


def _register(provider: Provider) -> None:
    with _REGISTERING:
        if not is_installed(provider) or has_devices(provider):
            return
        module = import_module(provider.plugin)
        try:
            ort.register_execution_provider_library(provider.ort_name, module.get_library_path())
        except Exception as error:
            # Registered before, by us or another user of the process, and without a device.
            if "already registered" in str(error):
                return
            raise NoProviderError(
                f"the library of {provider.ort_name} does not load: {error}",
                expected=f"what {provider.origin} installs, and what it needs",
                fix=f"pip install --force-reinstall 'onnx-edge-toolkit[{provider.extra}]'",
            ) from error


def _of_kind(found: Sequence[Any], kind: str) -> Any:
    """The first device of a kind, such as NPU; None without one."""
    return next((one for one in found if one.device.type.name == kind), None)
