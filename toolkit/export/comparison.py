"""Comparing a graph with the module that it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.errors import CheckFailedError, InputError
from toolkit.evaluate.parity import compare_outputs, worst
from toolkit.export.feeds import (
    Sizes,
    batch_dimension,
    dimension_sizes,
    parity_sizes,
    resized,
    sizes_text,
)
from toolkit.export.parts import TorchPart
from toolkit.export.torch_graph import run_module
from toolkit.progress import Progress
from toolkit.runtime import Session
from toolkit.tensors import Array

MISSED = (
    "--tolerance NUMBER        (sets the limit, where outputs are large); look for branches on "
    "values and for random operators otherwise"
)
OTHER_SHAPES = 4
"""Fewest shapes, other than the traced one, at which a graph is compared with its source."""


@dataclass(frozen=True, kw_only=True)
class ExportParity:
    """How the graph was compared with what it came from.

    Attributes:
        max_abs_error: The largest absolute difference of any output at any shape.
        limit: The most that was allowed.
        shapes: Sizes of the symbolic dimensions by name, one entry a comparison; the last is the
            reference itself.
        compared_with: "PyTorch", or "itself" for an adopted file.
    """

    max_abs_error: float
    limit: float
    shapes: tuple[Mapping[str, int], ...]
    compared_with: str


def compared(
    part: TorchPart,
    session: Session,
    outputs: Mapping[str, Array],
    *,
    traced: Sizes,
    longest: int | None,
    limit: float,
    seed: int,
    say: Progress,
    fix: str = MISSED,
) -> ExportParity:
    """Compare a graph with its module, at other shapes first, then on the reference rows.

    Args:
        part: The module.
        session: The graph.
        outputs: What the module answers for its reference rows.
        traced: Sizes that the graph was traced with.
        longest: Most that a dimension other than the batch may have; none for no limit.
        limit: Most that any output may differ, times the part's scale.
        seed: Of the rows that are drawn.
        say: Called with a line for each comparison.
        fix: What to do about a miss.

    Raises:
        CheckFailedError: A comparison misses the limit.
        InputError: The module itself runs at too few other shapes.
    """
    sizes = dimension_sizes(part.feeds, part.dimensions)
    limit *= part.scale
    reports, shapes = [], []

    def compare(feeds: Mapping[str, Array], wanted: Mapping[str, Array], at: Sizes) -> None:
        say(f"parity at {sizes_text(at)}")
        try:
            found: Mapping[str, Array] = session.run(feeds)
            if part.read is not None:
                wanted, found = part.read(feeds, wanted), part.read(feeds, found)
            parity = compare_outputs(wanted, found)
        except InputError as error:
            raise CheckFailedError(f"the graph fails at {sizes_text(at)}: {error}") from error
        if not parity.within(limit):
            raise CheckFailedError(
                f"the graph does not compute what the module does at {sizes_text(at)}: {parity}",
                expected=f"max abs error at most {limit:g}",
                fix=fix,
            )
        reports.append(parity)
        shapes.append(at)

    enough = OTHER_SHAPES if part.shapes is None else len(part.shapes.compared)
    for tried, (at, feeds) in enumerate(_others(part, sizes, traced, longest, seed)):
        if tried > enough and len(shapes) >= enough:
            break
        try:
            wanted = run_module(part.module, feeds, output_names=part.output_names)
        except (RuntimeError, ValueError, IndexError) as error:
            reason = str(error).strip().splitlines()[:1]
            say(f"the module itself does not run at {sizes_text(at)}: {''.join(reason)}")
            continue
        compare(feeds, wanted, at)
    if sizes and len(shapes) < min(enough, OTHER_SHAPES):
        raise InputError(
            f"the module itself runs at {len(shapes)} shapes other than the traced one",
            expected=f"at least {OTHER_SHAPES}, to compare the graph with it",
            fix="leave a dimension that has only one valid size out of dynamic_dimensions",
        )
    compare(part.feeds, outputs, sizes)
    return ExportParity(
        max_abs_error=worst(reports).max_abs_error,
        limit=limit,
        shapes=tuple(shapes),
        compared_with="PyTorch",
    )


def _others(
    part: TorchPart, sizes: Sizes, traced: Sizes, longest: int | None, seed: int
) -> Iterator[tuple[Sizes, dict[str, Array]]]:
    """Other sizes than the traced ones, with feeds of each."""
    if part.shapes is not None:
        for number, at in enumerate(part.shapes.compared, start=1):
            yield at, part.shapes.make(at, seed + number)
        return
    batch = batch_dimension(part.dimensions)
    found = parity_sizes(sizes, traced=traced, batch=batch, longest=longest) if sizes else ()
    for number, at in enumerate(found, start=1):
        yield at, resized(part.feeds, part.dimensions, at, batch=batch, seed=seed + number)
