"""`config.pbtxt` of a Triton model, by the schema that Triton publishes.

`apps/triton/model_config.pb` is that schema: the serialized `model_config.proto` of the package
tritonclient 2.73, whose BSD license lies beside it. The package itself asks for protobuf < 7 and
ml-dtypes <= 0.5.4, which no other library here agrees with. What the ONNX Runtime backend makes of
the fields is told by the README of triton-inference-server/onnxruntime_backend.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from toolkit.bundle.document import AppModel
from toolkit.errors import InputError, SetupError
from toolkit.runtime.entries import ARENA_KEY, LEVEL_KEY, PATTERN_KEY, THREADS_KEY
from toolkit.tensors import TensorSpec

MOST_ROWS = 32
PREFERRED_ROWS = (8, 32)
QUEUE_DELAY_US = 1000

_TYPES = {
    "bool": "TYPE_BOOL",
    **{f"int{bits}": f"TYPE_INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"TYPE_UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"TYPE_FP{bits}" for bits in (16, 32, 64)},
}
# The backend's word for a level; without one, all optimizations run.
_LEVELS = {"enable_basic": -1, "enable_extended": 1, "disable_all": 2}
_PARAMETERS = {
    THREADS_KEY: "intra_op_thread_count",
    ARENA_KEY: "enable_mem_arena",
    PATTERN_KEY: "enable_mem_pattern",
}
KNOWN_OPTIONS = frozenset({LEVEL_KEY, *_PARAMETERS})
"""Session options that the backend has a word for."""


def config_text(model: AppModel, name: str, *, rows: int, labels: bool) -> str:
    """The content of `config.pbtxt`.

    Args:
        model: What is served.
        name: The model's folder in the repository.
        rows: Most rows of one run: above 1, requests are batched; 1, never; 0 where the graph has
            no batch and every request is one run.
        labels: Whether `labels.txt` lies beside it, in the order of the answer's columns.

    Raises:
        InputError: A tensor's type is none of Triton's.
        SetupError: protobuf is not installed.
    """
    message = _message()
    text_format = _protobuf("text_format")
    config = message(name=name, backend="onnxruntime", default_model_filename="model.onnx")
    config.max_batch_size = rows
    for specs, entries in ((model.inputs, config.input), (model.outputs, config.output)):
        for spec in specs:
            _describe(spec, entries.add(), has_batch=rows > 0)
    if labels:
        answer = next(one for one in config.output if one.name == model.task.output)
        answer.label_filename = "labels.txt"
    config.instance_group.add(kind="KIND_CPU", count=1)
    if rows > 1:
        config.dynamic_batching.preferred_batch_size.extend(PREFERRED_ROWS)
        config.dynamic_batching.max_queue_delay_microseconds = QUEUE_DELAY_US
    options = model.session_options
    if (level := _LEVELS.get(options.get(LEVEL_KEY, ""))) is not None:
        config.optimization.graph.level = level
    for key, word in _PARAMETERS.items():
        if key in options or key == THREADS_KEY:
            value = options.get(key, "0")
            known = {"true": "1", "false": "0"}
            config.parameters[word].string_value = known.get(value, value)
    return str(text_format.MessageToString(config))


def left_out(options: Mapping[str, str]) -> list[str]:
    """Session options that the backend has no word for."""
    return [f"{key}={value}" for key, value in options.items() if key not in KNOWN_OPTIONS]


def _describe(spec: TensorSpec, entry: Any, *, has_batch: bool) -> None:
    if spec.dtype not in _TYPES:
        raise InputError(
            f"the tensor {spec.name!r} is {spec}",
            expected=f"a type that Triton takes as numbers: {', '.join(_TYPES)}",
        )
    entry.name, entry.data_type = spec.name, _TYPES[spec.dtype]
    sizes = [size if isinstance(size, int) else -1 for size in spec.shape[1 if has_batch else 0 :]]
    entry.dims.extend(sizes or [1])  # Triton wants one at least
    if not sizes:
        entry.reshape.SetInParent()


def _message() -> Any:
    pool = _protobuf("descriptor_pool").DescriptorPool()
    schema = files("toolkit.bundle") / "apps" / "triton" / "model_config.pb"
    pool.AddSerializedFile(schema.read_bytes())
    found = pool.FindMessageTypeByName("inference.ModelConfig")
    return _protobuf("message_factory").GetMessageClass(found)


def _protobuf(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"google.protobuf.{module}")
    except ImportError as error:
        raise SetupError(
            "Triton's configuration is written with protobuf, which is not installed",
            expected="the extra `bundle`",
            fix="pip install onnx-edge-toolkit[bundle]",
        ) from error
