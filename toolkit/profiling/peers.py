"""What the contenders of a comparison do, each in a process of its own.

Every factory returns a `Made`. Inputs come from one .npz file, so that all are fed the same.
`python -m toolkit.profiling.peers` writes that file.
"""

import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import InputError, SetupError, ToolkitError
from toolkit.npz import read_npz, write_npz
from toolkit.profiling.in_force import in_force
from toolkit.runtime.fresh import answer
from toolkit.tensors import Array, TensorSpec, check_feeds

Outputs = Mapping[str, Array]
_OPTIMUM_CLASSES = (
    *("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM"),
    *("ImageClassification", "AudioClassification"),
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A contender that was opened.

    Attributes:
        run: One run.
        outputs: Outputs of one run by name.
        facts: What a report says of it.
    """

    run: Callable[[], object]
    outputs: Callable[[], Outputs]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: str) -> None:
        """Write the outputs of one run as .npz."""
        Path(file).write_bytes(write_npz(self.outputs()))


def ours(*, model: str, options: dict[str, Any], config: dict[str, str], feeds: str) -> Made:
    """The toolkit's own session.

    Args:
        model: The `.onnx` file.
        options: Fields of `SessionOptions`.
        config: Session configuration.
        feeds: The .npz file.
    """
    from toolkit.runtime import Provider, SessionOptions, open_session

    chosen = SessionOptions(**{**options, "provider": Provider(options["provider"])})
    session = open_session(Path(model), chosen, config=config)
    given = _feeds(feeds, [spec.name for spec in session.inputs])
    _check_fit(given, session.inputs)
    return Made(
        run=lambda: session.run(given),
        outputs=lambda: session.run(given),
        facts={
            "provider": str(session.provider),
            "placement": session.placement,
            "session": in_force(chosen, config).as_json(),
        },
    )


def offline(
    *,
    model: str,
    options: dict[str, Any],
    config: dict[str, str],
    feeds: str,
    batch: int,
    sessions: int,
    session_threads: int,
) -> Made:
    """A pile of `SAMPLES` samples, in batches, by several sessions; see `ours` and `Split`."""
    from concurrent.futures import ThreadPoolExecutor

    from toolkit.profiling.offline_tuning import SAMPLES
    from toolkit.runtime import Provider, SessionOptions, open_session

    chosen = {
        **options,
        "provider": Provider(options["provider"]),
        "threads": session_threads,
        "spinning": sessions == 1,  # spinning threads of one session slow the others
    }
    opened = [
        open_session(Path(model), SessionOptions(**chosen), config=config) for _ in range(sessions)
    ]
    given = _feeds(feeds, [spec.name for spec in opened[0].inputs])
    rows = {
        name: np.take(array, np.arange(batch) % array.shape[0], axis=0)
        for name, array in given.items()
    }
    pool = ThreadPoolExecutor(sessions)
    turns = [opened[i % sessions] for i in range(SAMPLES // batch)]
    return Made(
        run=lambda: list(pool.map(lambda session: session.run(rows), turns)),
        outputs=lambda: opened[0].run(given),
        facts={"provider": str(opened[0].provider), "placement": opened[0].placement},
    )


def onnxruntime(
    *, source: str, feeds: str, threads: int = 0, provider: str = "cpu", spinning: bool = True
) -> Made:
    """ONNX Runtime as one writes it by hand; nothing of the toolkit is around the run."""
    with _extra("onnxruntime", "onnx-edge-toolkit[cpu]"):
        ort = importlib.import_module("onnxruntime")
    from toolkit.runtime.providers import Provider

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    if not spinning:
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = Provider(provider).ort_name
    if wanted not in ort.get_available_providers():
        raise SetupError(
            f"the onnxruntime of this contender has no {wanted}",
            expected=f"one of {', '.join(ort.get_available_providers())}",
            fix=Provider(provider).origin,
        )
    with _failures("onnxruntime", "loading the model"):
        session = ort.InferenceSession(source, settings, providers=[wanted])
    given = _feeds(feeds, [node.name for node in session.get_inputs()])
    names = [node.name for node in session.get_outputs()]
    started = session.get_providers()
    if wanted not in started:
        raise SetupError(f"{wanted} did not start; ONNX Runtime chose {started}")
    with _failures("onnxruntime", "running", expected=f"a model that takes {_described(given)}"):
        session.run(None, given)
    return Made(
        run=lambda: session.run(None, given),
        outputs=lambda: dict(zip(names, session.run(None, given), strict=True)),
        facts={"onnxruntime": ort.__version__, "providers": started},
    )


def torch(*, source: str, feeds: str, threads: int = 0, compile: bool = False) -> Made:  # noqa: A002 - torch's word
    """The torch module behind a run or a Hugging Face checkpoint, eager or compiled.

    Args:
        source: A run directory, a checkpoint directory, or `module:callable`.
        feeds: The .npz file; its arrays are keyword arguments.
        threads: Of torch; 0 leaves them alone.
        compile: Pass the module through torch.compile, which needs a C++ compiler.
    """
    with _extra("torch", "onnx-edge-toolkit[export]"):
        torch = importlib.import_module("torch")
    if threads:
        torch.set_num_threads(threads)
    module, names = _torch_module(source)
    called = torch.compile(module) if compile else module
    tensors = {name: torch.from_numpy(array) for name, array in read_npz(Path(feeds)).items()}

    def run() -> Any:
        with torch.inference_mode():
            return called(**tensors)

    with _failures(
        "torch", "running", expected=f"a module whose arguments are {_described(tensors)}"
    ):
        run()
    return Made(
        run=run,
        outputs=lambda: _named(run(), names),
        facts={"torch": torch.__version__, "threads": torch.get_num_threads()},
    )


def optimum(*, source: str, feeds: str, threads: int = 0) -> Made:
    """The ONNX model class of optimum for a checkpoint, exported by optimum if it is not yet.

    Args:
        source: A checkpoint directory, or what `optimum-cli export onnx` wrote.
        feeds: The .npz file.
        threads: Intra-op threads; 0 leaves them alone.
    """
    with _extra("optimum", "onnx-edge-toolkit[optimum], in an environment of its own"):
        library = importlib.import_module("optimum.onnxruntime")
        ort = importlib.import_module("onnxruntime")
        transformers = importlib.import_module("transformers")
    if not (Path(source) / "config.json").is_file():  # a name would be looked for in the network
        raise InputError(
            f"{source} is no checkpoint", expected="a folder with config.json and weights"
        )
    with _failures("optimum", "reading the checkpoint"):
        config = transformers.AutoConfig.from_pretrained(source)
    names = config.architectures or [""]
    ending = next((c for c in _OPTIMUM_CLASSES if names[0].endswith(c)), "")
    kind = getattr(library, f"ORTModelFor{ending or 'FeatureExtraction'}")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    is_exported = any(Path(source).glob("*.onnx"))
    with _failures("optimum", "loading the model"):
        model = kind.from_pretrained(source, export=not is_exported, session_options=settings)
    given = _feeds(feeds, list(model.input_names))
    with _failures("optimum", "running"):
        model(**given)
    return Made(
        run=lambda: model(**given),
        outputs=lambda: {k: np.asarray(v) for k, v in model(**given).items()},
        facts={"onnxruntime": ort.__version__, "transformers": transformers.__version__},
    )


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Write the feeds that all contenders are given.

    Args:
        request: `model`, `options`, `config`, `reference` (an .npz file or empty), `sizes`, `seed`,
            and `feeds`, the file to write.

    Returns:
        `shapes` by input, and `inputs`: "reference" or "random".
    """
    from toolkit.profiling.feeds import profile_feeds
    from toolkit.profiling.graph_inputs import FILES, GraphInputs
    from toolkit.runtime import Provider, SessionOptions, open_session

    options = {**request["options"], "provider": Provider(request["options"]["provider"])}
    session = open_session(
        Path(request["model"]), SessionOptions(**options), config=request["config"]
    )
    reference = read_npz(Path(request["reference"])) if request["reference"] else None
    if reference is None:
        known = GraphInputs.of(Path(request["model"]), session.inputs)
        known.check_guessable(session.inputs, fix=f"profile each alone, with {FILES}")
    feeds = profile_feeds(
        session.inputs, reference=reference, sizes=request["sizes"], seed=request["seed"]
    )
    Path(request["feeds"]).write_bytes(write_npz(feeds))
    is_reference = reference is not None and set(reference) == set(feeds)
    return {
        "shapes": {name: [*array.shape] for name, array in feeds.items()},
        "inputs": "reference" if is_reference else "random",
    }


def _torch_module(source: str) -> tuple[Any, tuple[str, ...]]:
    if (Path(source) / "config.json").is_file():
        with _extra("transformers", "onnx-edge-toolkit[export]"):
            transformers = importlib.import_module("transformers")
        transformers.logging.set_verbosity_error()
        with _failures("torch", "loading the checkpoint"):
            name = transformers.AutoConfig.from_pretrained(source).architectures[0]
            return getattr(transformers, name).from_pretrained(source).eval(), ()
    from toolkit.export.sources import open_source

    with tempfile.TemporaryDirectory() as work:
        opened = open_source(source, work=Path(work), checkpoint=None)
    if isinstance(opened, Path):
        raise InputError(
            f"{source} holds no torch module",
            expected="a run directory, a Hugging Face checkpoint, or module:callable",
        )
    return opened.parts[0].module.eval(), opened.parts[0].output_names


def _named(returned: Any, names: tuple[str, ...]) -> Outputs:
    if hasattr(returned, "items"):
        return {k: v.numpy() for k, v in returned.items() if hasattr(v, "numpy")}
    values = returned if isinstance(returned, (tuple, list)) else (returned,)
    found = names or tuple(f"output_{i}" for i in range(len(values)))
    return {name: value.numpy() for name, value in zip(found, values, strict=True)}


def _feeds(file: str, names: list[str]) -> dict[str, Array]:
    arrays = read_npz(Path(file))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(
            f"it takes the input {missing[0]!r}, which the first contender does not have",
            expected=f"no inputs but {', '.join(arrays)}",
        )
    return {name: arrays[name] for name in names}


@contextmanager
def _extra(package: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SetupError(
            f"the peer {package} cannot be imported: {error}",
            expected=f"pip install '{extra}'",
            fix="name the interpreter that has it: ...,python=.venv-optimum/bin/python"
            if package == "optimum"
            else f"pip install '{extra}'",
        ) from error


def _check_fit(given: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    """Refuse inputs of another contender that this one does not take."""
    try:
        check_feeds(given, specs, source="MODEL", allow_non_finite=True)
    except InputError as error:
        raise InputError(
            f"it does not take the inputs of the first contender: {error.problem}",
            expected=error.expected,
            fix="--shape NAME=SIZE with sizes that both take",
        ) from error


def _described(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {[*array.shape]}" for name, array in given.items())


@contextmanager
def _failures(package: str, doing: str, *, expected: str = "") -> Iterator[None]:
    """Whatever a peer raises is no bug of ours."""
    try:
        yield
    except ToolkitError:
        raise
    except Exception as error:
        raise InputError(f"{package} failed while {doing}: {error}", expected=expected) from error


if __name__ == "__main__":
    answer(prepare)
