"""A compiled graph beside the CPU: the same answers, as far as half precision and bytes allow."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from toolkit.errors import InputError, ToolkitWarning
from toolkit.evaluate.agreement import agreement
from toolkit.evaluate.parity import Parity, compare_outputs
from toolkit.evaluate.samples import Samples
from toolkit.evaluate.scoring import Answers, answer_all
from toolkit.evaluate.validation import reference_feeds
from toolkit.inference import Model
from toolkit.optimize.sizing import Resizing
from toolkit.package import ModelPackage
from toolkit.rows import run_rows
from toolkit.runtime import Session
from toolkit.tasks import Task, TaskSpec, open_task
from toolkit.tensors import Array, TensorSpec

ROWS = 8
"""Most reference rows that are compared: a simulated chip takes seconds for one."""


def reference_at(
    package: ModelPackage, inputs: tuple[TensorSpec, ...], sizes: Mapping[str, int]
) -> dict[str, Array]:
    """The reference inputs at fixed sizes: texts encoded again, tensors cut or repeated.

    Args:
        package: The package, with a component in focus.
        inputs: The graph inputs, with their sizes fixed.
        sizes: Sizes by name of the dimension.

    Raises:
        InputError: The package has no reference.
    """
    reference = reference_feeds(package)
    folder, task = package.asset("reference"), package.contents.task
    assert folder is not None  # the line above says so
    items = folder / "items.json"
    if _is_text(package) and items.is_file():
        texts = msgspec.json.decode(items.read_bytes(), type=list[object])[:ROWS]
        encoder = open_task(task, package.asset("preprocessing"), inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ToolkitWarning)  # a reference text may be a long one
            return encoder.encode(texts)
    resizing = Resizing(package.inputs, reference)
    rows = {} if not resizing.batch else {resizing.batch: max(ROWS, sizes[resizing.batch])}
    if len({len(array) if array.ndim else 0 for array in reference.values()}) > 1:
        rows = {}  # only what has the same rows everywhere is run in parts
    known = {name: size for name, size in sizes.items() if name in resizing.sizes}
    return resizing.feeds({**known, **rows})


def _is_text(package: ModelPackage) -> bool:
    task = package.contents.task
    is_encoder = task.text is not None and task.generation is None and task.image is None
    return is_encoder and len(package.component_names) == 1


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What compiled graphs are held against: the parent on the CPU, at the same sizes.

    Attributes:
        package: The package, with a component in focus.
        feeds: The reference inputs.
        outputs: The CPU's outputs for them.
        samples: The user's data; None without.
        answers: The CPU's answers to those.
    """

    package: ModelPackage
    feeds: Mapping[str, Array]
    outputs: Mapping[str, Array]
    samples: Samples | None
    answers: Answers | None

    @classmethod
    def of(
        cls,
        package: ModelPackage,
        cpu: Session,
        sizes: Mapping[str, int],
        samples: Samples | None,
    ) -> "Judge":
        """Run the parent.

        Args:
            package: The package.
            cpu: The parent on the CPU, its sizes fixed.
            sizes: Those.
            samples: The user's data.
        """
        feeds = reference_at(package, cpu.inputs, sizes)
        return cls(
            package=package,
            feeds=feeds,
            outputs=run_rows(cpu, feeds),
            samples=samples,
            answers=None if samples is None else _answers(package, cpu, samples, is_loud=True),
        )

    @property
    def rows(self) -> int:
        """Reference rows that are compared."""
        return max((len(array) for array in self.feeds.values() if array.ndim), default=1)

    def parity(self, compiled: Session) -> Parity:
        """How far the outputs are from the CPU's."""
        return compare_outputs(self.outputs, run_rows(compiled, self.feeds))

    def agreement(self, compiled: Session) -> float | None:
        """Share of the samples with the CPU's answer; None without samples."""
        if self.samples is None or self.answers is None:
            return None
        found = _answers(self.package, compiled, self.samples)
        return agreement(self.package.contents.task, self.answers, found).share


def model_of(package: ModelPackage, session: Session) -> Model:
    """Pre- and post-processing around a session whose sizes are fixed."""
    several = len(package.component_names) > 1
    specification = TaskSpec(name="tensors") if several else package.contents.task
    task = (
        Task(specification, None)
        if several
        else open_task(specification, package.asset("preprocessing"), session.inputs)
    )
    return Model(package.path, "", session, task)


def _answers(
    package: ModelPackage, session: Session, samples: Samples, *, is_loud: bool = False
) -> Answers:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = answer_all(model_of(package, session), samples)
    cut = [one for one in caught if " was cut to the first " in str(one.message)]
    if cut and is_loud:  # one line for all of them
        warnings.warn(
            f"{len(cut)} of {len(samples)} texts do not fit the compiled length and were cut",
            ToolkitWarning,
            stacklevel=2,
        )
    return answers


def calibration_feeds(
    package: ModelPackage, cpu: Session, samples: Samples
) -> list[dict[str, Array]]:
    """Feeds of one run after the other, of the rows that the graph takes at once.

    Args:
        package: The package.
        cpu: The parent, its sizes fixed.
        samples: What ranges are measured on.

    Raises:
        InputError: A sample does not fit the model.
    """
    task = model_of(package, cpu).task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToolkitWarning)
        feeds = task.encode(samples.items)
    rows = {spec.shape[0] for spec in cpu.inputs if spec.shape}
    if len(rows) != 1:
        raise InputError(
            "the graph's inputs have no batch dimension in common",
            expected="a graph that takes one row or several of every input",
        )
    size = int(rows.pop())
    count = len(next(iter(feeds.values())))
    parts = [np.minimum(np.arange(at, at + size), count - 1) for at in range(0, count, size)]
    return [{name: array[part] for name, array in feeds.items()} for part in parts]
