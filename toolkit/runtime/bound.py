"""Runs whose tensors stay where the execution provider computes: IO binding."""

from typing import Any

import numpy as np

from toolkit.errors import InputError
from toolkit.runtime.failures import ort_failures
from toolkit.runtime.providers import Provider
from toolkit.tensors import Array, Feeds, describe

_DEVICES = {
    Provider.CUDA: "cuda",
    Provider.TENSORRT: "cuda",
    Provider.DIRECTML: "dml",
    Provider.WEBGPU: "webgpu",
}
"""What ONNX Runtime calls the memory that a provider computes in; the CPU's for any other."""


def device_of(provider: Provider) -> str:
    """What ONNX Runtime calls the memory that a provider computes in."""
    return _DEVICES.get(provider, "cpu")


class BoundRun:
    """A session bound to tensors of its device, for feeds of one shape.

    The first run finds the shapes of the outputs; from then on inputs and outputs keep their
    memory, which is what a captured graph is replayed on.

    Args:
        raw: The `onnxruntime.InferenceSession`.
        provider: The execution provider.
        feeds: Arrays by input name, which are copied.
        device_id: The device among several.
        name: What the model is called, for messages.
    """

    def __init__(
        self, raw: Any, provider: Provider, feeds: Feeds, *, device_id: int = 0, name: str = ""
    ) -> None:
        import onnxruntime as ort

        self._raw = raw
        self._provider = provider
        self._name = name
        self._shapes = {key: describe(array) for key, array in feeds.items()}
        self._device = device_of(provider), device_id
        self._names = [node.name for node in raw.get_outputs()]
        with ort_failures(f"binding the tensors of {name}", provider):
            self._inputs = {
                key: ort.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"), *self._device)
                for key, array in feeds.items()
            }
            self._binding = raw.io_binding()
            for key, value in self._inputs.items():
                self._binding.bind_ortvalue_input(key, value)
            for key in self._names:
                self._binding.bind_output(key, *self._device)
            uncaptured = ort.RunOptions()
            uncaptured.add_run_config_entry("gpu_graph_id", "-1")
            raw.run_with_iobinding(self._binding, uncaptured)
            made = self._binding.get_outputs()
            for key, value in zip(self._names, made, strict=True):
                self._binding.bind_ortvalue_output(key, value)

    def feed(self, feeds: Feeds) -> None:
        """Copy other values into the inputs.

        Raises:
            InputError: A feed has another name, dtype or shape than at first.
        """
        found = {key: describe(array) for key, array in feeds.items()}
        if found != self._shapes:
            raise InputError(
                f"the feeds of a bound run of {self._name} are {_listed(found)}",
                expected=_listed(self._shapes),
            )
        with ort_failures(f"feeding {self._name}", self._provider):
            for key, array in feeds.items():
                self._inputs[key].update_inplace(np.asarray(array, order="C"))

    def run(self) -> None:
        """Run, and wait until the outputs are there.

        Raises:
            SetupError: The provider failed.
        """
        with ort_failures(f"running {self._name}", self._provider):
            self._raw.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()

    def outputs(self) -> dict[str, Array]:
        """The outputs of the last run by name, copied to the CPU's memory."""
        with ort_failures(f"reading the outputs of {self._name}", self._provider):
            return dict(zip(self._names, self._binding.copy_outputs_to_cpu(), strict=True))


def _listed(shapes: dict[str, str]) -> str:
    return ", ".join(f"{key}: {shape}" for key, shape in shapes.items()) or "none"
