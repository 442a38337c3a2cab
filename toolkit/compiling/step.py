"""`compile`: variants that hold what a provider made of the graph for one chip each."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from toolkit.compiling.job import Job
from toolkit.compiling.report import CompileReport
from toolkit.compiling.sizes import chosen_sizes
from toolkit.errors import InputError
from toolkit.evaluate.samples import SampleOptions, Samples, read_samples
from toolkit.package import ModelPackage, Variant, is_bare
from toolkit.package.write import MODEL_FILE, check_variant_name, staging_directory
from toolkit.progress import Progress, silent
from toolkit.runtime import Provider
from toolkit.runtime.option_types import Chip
from toolkit.runtime.placement import check_required
from toolkit.runtime.provider_options import CHIPS, checked_options
from toolkit.runtime.providers import DEFAULT_CHIP

Precision = Literal["fp16", "int8", "int8-16bit"]

PRECISIONS: tuple[Precision, ...] = ("fp16", "int8", "int8-16bit")
"""What a graph is compiled to compute in: halves; bytes; bytes, with activations of 16 bits."""

MIN_AGREEMENT = 0.98
"""Least share of the samples with the CPU's answer."""


def compile(  # noqa: A001 - the command's name
    source: str | Path,
    *,
    provider: Provider = Provider.QNN,
    socs: Sequence[str] = (),
    fix_shapes: Mapping[str, int] | None = None,
    precision: Precision | None = None,
    data: str | Path | None = None,
    reading: SampleOptions | None = None,
    samples: int = 0,
    min_agreement: float = MIN_AGREEMENT,
    require: Mapping[str, float] | None = None,
    provider_options: Mapping[str, str] | None = None,
    component: str | None = None,
    variant: str | None = None,
    name: str | None = None,
    force: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> CompileReport:
    """Add a variant a chip, which holds the graph as the provider compiled it for that chip.

    Every chip is compiled in a process of its own. What comes out must open on the provider, name
    the chip, and answer as the parent does on the CPU at the same sizes: where there is data, to at
    least `min_agreement` of the samples, and otherwise on the reference inputs, within
    `job.SQNR_DB`. Nothing is added until all chips are done.

    Args:
        source: The package.
        provider: The execution provider; QNN alone compiles here.
        socs: Chips, by number or name; what the simulator stands for when empty.
        fix_shapes: Sizes of symbolic dimensions by name; see `chosen_sizes` for those not given.
        precision: "fp16"; "int8" or "int8-16bit", which quantize the graph on a part of the data
            first. As the parent is when not given; the chip computes float32 in halves.
        data: The user's data, whose labels are not looked at.
        reading: Which columns and rows of the data count.
        samples: Most samples that are compared; all when 0.
        min_agreement: Least share of the samples with the CPU's answer, 0 to 1.
        require: Least share of the nodes by the provider's word, above 0 and at most 1.
        provider_options: The provider's other options.
        component: The component; the first when not given.
        variant: The variant to compile; the first in fp32 as exported when not given.
        name: What the new variants' names begin with, before the chip; the provider, and what is
            quantized its precision, when not given.
        force: Replace variants of the same names.
        seed: Of what is drawn from the data.
        progress: Called with a line for each thing that begins.

    Raises:
        InputError: The source is no package, there is no such chip, dimension, option or variant,
            the provider compiles nothing, a name is taken, or the data does not fit.
        SetupError: The provider is not installed or takes no node, or the extra `export` is not.
        CheckFailedError: The answers are too far from the CPU's, or too few nodes were compiled.
    """
    path = Path(source)
    _check_provider(provider)
    check_required(require or {}, provider)
    if is_bare(path):
        raise InputError(
            f"{path} is a bare model: it cannot hold a second variant",
            expected="a model package",
            fix=f"toolkit export {path} -o NAME.ortpackage",
        )
    package = ModelPackage.open(path, component)
    parent = _parent(package, variant)
    others = dict(provider_options or {})
    named = others.pop("soc_model", "")
    if named and socs:
        raise InputError(
            f"chips are given twice: {', '.join(socs)}, and {named} as soc_model",
            expected="one of the two",
            fix=f"--soc {','.join(socs)}",
        )
    chips = chips_of(socs or [named or DEFAULT_CHIP])
    options = {chip: checked_options(provider, {**others, "soc_model": chip}) for chip in chips}
    computed = _precision(parent, precision, has_data=data is not None)
    sizes = chosen_sizes(package, fix_shapes or {})
    names = {chip: _name(name, provider, chip, computed) for chip in chips}
    for taken in names.values():
        check_variant_name(package, taken, parent=parent.name, force=force)
    found = _samples(package, data, reading)
    job = Job(
        package=package,
        parent=parent,
        provider=provider,
        sizes=sizes,
        precision=computed,
        quantizes=precision not in {None, "fp16"},
        require=require or {},
        min_agreement=min_agreement,
        progress=progress,
    )
    with staging_directory(package) as folder, tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / MODEL_FILE
        judge = job.prepare(graph, found, limit=samples, seed=seed)
        made = []
        for chip in chips:
            target = folder / names[chip]
            target.mkdir()
            one = job.compile(graph, target / MODEL_FILE, options[chip], names[chip], judge)
            made.append(one)
        for one in made:
            job.publish(folder / one.variant, one, options[one.soc], judge, force=force)
    given = fix_shapes or {}
    return CompileReport(
        package=path,
        component=package.component_name,
        parent=parent.name,
        provider=provider,
        precision=computed,
        shapes=sizes,
        chosen=tuple(name for name in sizes if name not in given),
        compiled=tuple(made),
    )


def _check_provider(provider: Provider) -> None:
    if provider is not Provider.QNN:
        raise InputError(
            f"{provider} compiles nothing ahead of time here",
            expected=f"--provider {Provider.QNN}",
            fix=f"toolkit infer PKG --provider {provider}   (takes the variants that are there)",
        )


def chips_of(typed: Sequence[str]) -> tuple[str, ...]:
    """Numbers of chips that were typed, each once; QNN itself refuses a number that is none.

    Raises:
        InputError: One is neither a number nor a name that is known here.
    """
    known = Chip(CHIPS)
    found = []
    for text in typed:
        number = known.parsed(text.strip())
        if number in {None, "0"}:  # 0 is "any" to QNN, which compiles for none then
            raise InputError(f"there is no chip {text!r}", expected=known.expected)
        found.append(str(number))
    return tuple(dict.fromkeys(found))


def _parent(package: ModelPackage, name: str | None) -> Variant:
    general = [one for one in package.variants if one.entry.ep == Provider.CPU.ort_name]
    if name is not None:
        parent = package.variant(name)
        if parent.entry.ep != Provider.CPU.ort_name:
            raise InputError(
                f"variant {name!r} was compiled already, for {parent.entry.ep}",
                expected=f"one of {', '.join(one.name for one in general)}",
            )
        return parent
    if not general:
        raise InputError(
            f"{package.path} holds nothing but compiled variants",
            expected="a variant that any provider may run",
            fix="toolkit export SOURCE -o NAME.ortpackage",
        )
    floats = [one for one in general if one.contents.precision == "fp32"]
    return min(floats or general, key=lambda one: bool(one.contents.parent))


def _precision(parent: Variant, asked: Precision | None, *, has_data: bool) -> str:
    """What the compiled graph computes in."""
    found = parent.contents.precision
    is_float = found in {"fp32", "fp16"}
    if asked is None:
        return "fp16" if is_float else found
    if (asked != "fp16" and found != "fp32") or not is_float:
        raise InputError(
            f"variant {parent.name!r} is {found}, which is not made {asked}",
            expected="a variant of precision fp32",
            fix="leave --precision out, or pass another --variant",
        )
    if asked != "fp16" and not has_data:
        raise InputError(
            f"--precision {asked} measures ranges of activations on data, and there is none",
            expected="samples of what the model will get; labels are not looked at",
            fix="--data FILE",
        )
    return asked


def _name(asked: str | None, provider: Provider, chip: str, precision: str) -> str:
    first = asked or (provider if precision == "fp16" else f"{provider}-{precision}")
    return f"{first}-{chip}"


def _samples(
    package: ModelPackage, data: str | Path | None, reading: SampleOptions | None
) -> Samples | None:
    if data is None:
        return None
    if len(package.component_names) > 1:
        raise InputError(
            f"{package.path} has the components {', '.join(package.component_names)}: none of "
            "them gives the answers that data is for",
            fix="leave --data out",
        )
    reading = reading or SampleOptions()
    unlabeled = SampleOptions(
        text_column=reading.text_column, label_column="", where=reading.where, labels=False
    )
    return read_samples(Path(data), package.contents.task, unlabeled)
