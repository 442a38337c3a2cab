"""What `toolkit infer` does: read what was asked, run it, and say where it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from toolkit.errors import InputError
from toolkit.inference import Model, load
from toolkit.inputs import file_items, read_feed, typed_items, write_file, write_outputs
from toolkit.runtime import SessionOptions
from toolkit.tasks import Item, Result, TaskOptions
from toolkit.tensors import Array

if TYPE_CHECKING:
    from toolkit.generation import GenerationOptions

SHOWN = 12
"""Elements of a tensor that the terminal shows."""

SHOWN_LABELS = 5
"""Labels of a classification that the terminal shows, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to run: exactly one of these.

    Attributes:
        texts: Arguments, read by task.
        lines: A file of one text a line.
        jsonl: A file of one JSON text or row a line.
        csv: A file of rows with a head.
        tensors: A file an input.
    """

    texts: tuple[str, ...] = ()
    lines: Path | None = None
    jsonl: Path | None = None
    csv: Path | None = None
    tensors: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InferReport:
    """Answers, and where they were computed.

    Attributes:
        variant: The variant that ran; empty for a bare file.
        provider: The execution provider.
        placement: Graph nodes by ONNX Runtime's provider name.
        elsewhere: Nodes by operator type that another provider than `provider` runs.
        results: One entry an item, in order.
        items: What was asked, for people; empty for tensors.
        replaced: Whether the output file stood there before.
        streamed: Whether the one result was given out piece by piece already.
    """

    variant: str
    provider: str
    placement: Mapping[str, int]
    elsewhere: Mapping[str, int]
    results: tuple[Result, ...]
    items: tuple[Item, ...]
    replaced: bool = False
    streamed: bool = False

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "variant": self.variant,
            "provider": self.provider,
            "placement": self.placement,
            "elsewhere": self.elsewhere,
            "results": self.results,
        }

    def as_text(self) -> str:
        """One line a result."""
        several = len(self.results) > 1
        lines = []
        for position, result in enumerate(self.results):
            line = _line(result)
            if several and self.items:  # tensors have no text to show
                name = _short(self.items[position])
                line = f"{name}\n{line}" if "\n" in line else f"{line}  {name}"
            lines.append(line)
        return "\n".join(lines)


def infer(
    source: str | Path,
    *,
    asked: Asked,
    variant: str | None = None,
    options: SessionOptions | None = None,
    reading: TaskOptions | None = None,
    generation: GenerationOptions | None = None,
    stream: Callable[[str], object] | None = None,
    batch_size: int | None = None,
    allow_non_finite: bool = False,
    output: Path | None = None,
    force: bool = False,
) -> InferReport:
    """Run a package or a bare `.onnx` file.

    Args:
        source: The package or file.
        asked: What to run.
        variant: The package's variant; the preferred one when not given.
        options: Provider, threads and the like.
        reading: How items are read, and how much an answer says.
        generation: How texts are made, for a model that makes them token by token.
        stream: Called with the pieces of the one text that is made, as they come.
        batch_size: Most rows in one run; None for what was tuned here, or 32.
        allow_non_finite: Let NaN and infinities into the model.
        output: .npz for the raw output tensors, .jsonl for one result a line. Tensors have the rows
            of all items one behind another, padded with zeros to the longest item.
        force: Replace `output`.

    Raises:
        InputError: Nothing or more than one thing was asked, or it does not fit the model.
        SetupError: The provider cannot run here.
    """
    replaced = output is not None and output.exists()
    if output is not None:
        _check_output(output, force=force)
    model = load(source, variant=variant, options=options, reading=reading)
    if generation is not None and model.task.specification.generation is None:
        raise InputError(
            f"{source} makes no text token by token: its task is {model.task.specification.name}",
            expected="a package of the task text-generation for options of generation",
        )
    audio = model.task.specification.audio
    told = reading is not None and (reading.language or reading.translate)
    if told and (audio is None or audio.speech is None):
        raise InputError(
            f"{source} is told no language and translates no speech",
            expected="a package of a speech model that knows languages, such as Whisper",
            fix="leave --language and --translate out",
        )
    items: list[Item] = []
    streamed = False
    asked = _sound(model, asked)
    if asked.tensors:
        _check_one(asked)
        outputs = model.run(_feeds(model, asked.tensors), allow_non_finite=allow_non_finite)
        results = model.task.decode(outputs)
    elif model.task.specification.generation is not None:
        items = _items(model, asked)
        if output is not None and output.suffix == ".npz":
            raise InputError(
                f"{output} would hold tensors, and texts made token by token are none",
                expected="-o NAME.jsonl",
            )
        # Of sound, the answers of all windows make the result.
        is_sound = model.task.specification.audio is not None
        streamed = stream is not None and len(items) == 1 and not is_sound
        given = stream if streamed else None
        results, outputs = _generated(model, items, batch_size, generation, given), {}
    else:
        items = _items(model, asked)
        keep = output is not None and output.suffix == ".npz"
        results, outputs = _run(model, items, batch_size, keep=keep)
    if output is not None and output.suffix == ".npz":
        write_outputs(output, outputs)
    elif output is not None:
        write_file(output, b"".join(msgspec.json.encode(result) + b"\n" for result in results))
    return InferReport(
        variant=model.variant,
        provider=model.provider.value,
        placement=model.placement,
        elsewhere=model.elsewhere,
        results=tuple(results),
        items=tuple(items),
        replaced=replaced,
        streamed=streamed,
    )


def _check_output(output: Path, *, force: bool) -> None:
    if output.suffix not in {".npz", ".jsonl"}:
        raise InputError(
            f"{output} has the ending {output.suffix or 'nothing'}",
            expected=".npz for raw tensors, .jsonl for results",
        )
    if not output.parent.is_dir():
        raise InputError(f"the folder of {output} does not exist", fix=f"mkdir {output.parent}")
    if output.exists() and not force:
        raise InputError(f"{output} exists", fix="pass --force to replace it, or another -o")


def _check_one(asked: Asked) -> None:
    given = [
        name
        for name, value in (
            ("texts", asked.texts),
            ("--lines", asked.lines),
            ("--jsonl", asked.jsonl),
            ("--csv", asked.csv),
            ("--input", asked.tensors),
        )
        if value
    ]
    if len(given) != 1:
        raise InputError(
            f"{' and '.join(given)} were given" if given else "there is nothing to run",
            expected="texts, or one of --lines, --jsonl, --csv and --input",
            fix='toolkit infer PKG "a gorgeous, witty film"',
        )


def _items(model: Model, asked: Asked) -> list[Item]:
    _check_one(asked)
    task = model.task.specification
    if asked.texts:
        items = typed_items(asked.texts, task)
    else:
        files = (("lines", asked.lines), ("jsonl", asked.jsonl), ("csv", asked.csv))
        kind, file = next((kind, file) for kind, file in files if file is not None)
        items = file_items(file, kind, task)
    if not items:
        raise InputError("there is nothing to run: the file is empty", expected="one item or more")
    return items


def _sound(model: Model, asked: Asked) -> Asked:
    """Sound that was given as the graph's input: `--input input_values=speech.wav`."""
    if model.task.specification.audio is None or len(asked.tensors) != 1:
        return asked
    from toolkit.tasks.audio import SUFFIXES

    (name, file), *_ = asked.tensors.items()
    if name != model.inputs[0].name or file.suffix.lower() not in SUFFIXES:
        return asked
    return replace(asked, texts=(*asked.texts, str(file)), tensors={})


def _feeds(model: Model, files: Mapping[str, Path]) -> dict[str, Array]:
    specs = {spec.name: spec for spec in model.inputs}
    for name in files:
        if name not in specs:
            raise InputError(
                f"there is no input named {name!r}",
                expected=", ".join(f"{spec.name}: {spec}" for spec in model.inputs),
                fix=f"toolkit inspect {model.source}        (prints the input specification)",
            )
    return {name: read_feed(file, specs[name]) for name, file in files.items()}


def _generated(
    model: Model,
    items: list[Item],
    batch_size: int | None,
    options: GenerationOptions | None,
    stream: Callable[[str], object] | None,
) -> list[Result]:
    from toolkit.generation.model import Generator

    assert isinstance(model, Generator)
    if stream is None:
        return model.batch(items, batch_size=batch_size, options=options)
    answer = None
    for piece, answer in model.streamed(items[0], options):  # noqa: B007 - the last one counts
        stream(piece)
    assert answer is not None
    return [answer.result()]


def _run(
    model: Model, items: list[Item], batch_size: int | None, *, keep: bool
) -> tuple[list[Result], dict[str, Array]]:
    """Results in order, and the raw outputs in order when they shall be kept."""
    results: list[Result] = [{}] * len(items)
    owners: list[int] = []
    parts: list[dict[str, Array]] = []
    for positions, batch, outputs in model.answered(items, batch_size=batch_size):
        for position, result in zip(positions, model.task.decode(outputs, batch), strict=True):
            results[position] = result
        if keep:
            rows = range(len(positions)) if batch.rows is None else batch.rows
            owners += [positions[row] for row in rows]
            parts.append(outputs)
    if not parts:
        return results, {}
    order = np.argsort(owners, kind="stable")
    return results, {name: joined([part[name] for part in parts])[order] for name in parts[0]}


def joined(parts: Sequence[Array]) -> Array:
    """Batches one behind another, each axis but the first filled up with zeros to the longest."""
    shape = np.max([part.shape[1:] for part in parts], axis=0, initial=0).astype(int)
    widened = [
        np.pad(
            part, [(0, 0), *((0, int(n - m)) for n, m in zip(shape, part.shape[1:], strict=True))]
        )
        for part in parts
    ]
    return np.concatenate(widened)


def _line(result: Result) -> str:
    if "text" in result:
        return str(result["text"])
    if "labels" in result:
        return "  ".join(f"{_short(name)} {score:.4f}" for name, score in result["scores"].items())
    if "label" in result:
        ranked = sorted(result["scores"].items(), key=lambda pair: -pair[1])
        # Of two labels, the second one says nothing that the first did not.
        others = ranked[1:SHOWN_LABELS] if len(ranked) > 2 else ()
        more = ", ".join(f"{_short(name)} {score:.4f}" for name, score in others)
        return f"{_short(result['label'])}  {result['score']:.4f}" + (f"  ({more})" if more else "")
    if "boxes" in result:
        found = (
            f"{one['label']}  {one['score']:.4f}  {' '.join(f'{edge:.1f}' for edge in one['box'])}"
            for one in result["boxes"]
        )
        return "\n".join(found) or "(nothing found)"
    if "value" in result:
        return f"{result['value']:.6g}"
    if "answer" in result:
        where = f"{result['start']}-{result['end']}"
        return f"{result['answer'] or '(no answer)'}  {result['score']:.4f}  {where}"
    if "entities" in result:
        found = (
            f"{e['label']}  {e['score']:.4f}  {e['start']}-{e['end']}  {e['text']}"
            for e in result["entities"]
        )
        return "\n".join(found) or "(no entities)"
    if "masks" in result:
        return "\n".join(
            "  ".join(f"{fill['text'].strip()} {fill['score']:.4f}" for fill in mask["fills"])
            for mask in result["masks"]
        )
    if "embedding" in result:
        vector = np.asarray(result["embedding"])
        shape = ", ".join(map(str, vector.shape))
        shown = " ".join(f"{x:.4f}" for x in vector.reshape(-1)[:SHOWN])
        return f"float[{shape}]  {shown}{' ...' if vector.size > SHOWN else ''}"
    return "\n".join(_tensor_line(name, value) for name, value in result["outputs"].items())


def _tensor_line(name: str, value: Mapping[str, Any]) -> str:
    shape = ", ".join(map(str, value["shape"]))
    head = f"{name}  {value['dtype']}[{shape}]"
    if "data" not in value:
        return f"{head}  (write it with -o out.npz)"
    flat = np.asarray(value["data"], dtype=object).reshape(-1)
    shown = " ".join(f"{x:.6g}" if isinstance(x, float) else str(x) for x in flat[:SHOWN])
    return f"{head}  {shown}{' ...' if flat.size > SHOWN else ''}"


def _short(item: Item) -> str:
    plain = isinstance(item, (str, Path))
    text = str(item) if plain else msgspec.json.encode(item, enc_hook=str).decode()
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else f"{flat[:77]}..."
