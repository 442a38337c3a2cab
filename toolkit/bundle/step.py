"""`bundle`: what one device or app needs of a package, proved by its own self-test."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.bundle.content import write_content
from toolkit.bundle.job import BundleOptions, Job, Target
from toolkit.bundle.licenses import write_licenses
from toolkit.bundle.options import check_options
from toolkit.bundle.report import BundleReport, Part, SelfTestReport
from toolkit.bundle.sbom import write_sbom
from toolkit.bundle.signing import signer
from toolkit.bundle.sizes import check_size, parts_of
from toolkit.bundle.targets import target_named
from toolkit.compiling.sizes import chosen_sizes
from toolkit.errors import InputError
from toolkit.package import ModelPackage, Variant
from toolkit.package.replacing import is_taken, refuse_inside, replacing
from toolkit.progress import Progress, silent

_ANY = "CPUExecutionProvider"
"""What variants that are compiled for nothing run on."""


def bundle(
    source: str | Path,
    *,
    target: str,
    output: str | Path,
    variant: str | None = None,
    options: BundleOptions | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> BundleReport:
    """Write what one device or app needs of a package.

    Nothing stands at `output` before the bundle is complete and its self-test has passed.

    Args:
        source: A model package.
        target: What for: one of `toolkit.bundle.targets.NAMES`.
        output: The folder to write.
        variant: The package's variant; the preferred one when not given.
        options: Sizes, limits and the like.
        force: Replace what stands at `output`.
        progress: Told of each thing that begins.

    Raises:
        InputError: The package is missing or damaged, the target cannot hold the model, or
            something stands at `output` and `force` is not given.
        SetupError: This machine lacks what making or testing the bundle needs.
        CheckFailedError: The self-test failed, or the bundle is larger than it may be.
    """
    options = options or BundleOptions()
    made_for = target_named(target)
    check_options(options, made_for)
    package = ModelPackage.open(Path(source))
    chosen = package.variant(variant)
    _check_fits(package, chosen, made_for)
    _check_tokens(package, options)
    made_for.setup(options)
    if made_for.needs_fixed_shapes:
        options = replace(options, fix_shapes=chosen_sizes(package, options.fix_shapes))
    sign = None if options.sign is None else signer(options.sign, options.sign_password)
    path = Path(output)
    used = (options.runtime, options.sysroot, options.trim, options.sign)
    sources = [package.path, *(one for one in used if one is not None)]
    replaced = is_taken(path)
    refuse_inside(path, package.path)
    with replacing(path, force=force, sources=sources) as staging:
        progress(f"{chosen.name} for {target}")
        content = write_content(package, chosen, made_for, options, staging, progress=progress)
        job = Job(
            package=package,
            variant=chosen,
            model=content.model,
            options=options,
            progress=progress,
        )
        made_for.check(job)
        progress("the app")
        runtime = made_for.write(job, staging)
        write_licenses(job, staging, runtime)
        write_sbom(job, staging, runtime)
        if sign is not None:
            sign(staging)
        parts = parts_of(staging, over_the_wire=made_for.over_the_wire)
        check_size(parts, runtime, options.max_size_bytes, float_only=made_for.float_only)
        if options.self_test:
            progress("self-test")
            tested = made_for.self_test(job, staging)
            _check_kept(staging, parts)
        else:
            tested = SelfTestReport(
                command=made_for.command, ran=False, where="not run: --no-self-test"
            )
    return BundleReport(
        package=package.path,
        variant=chosen.name,
        target=target,
        path=path,
        parts=parts,
        runtime=runtime,
        self_test=tested,
        notes=(*content.notes, *job.remarks, *made_for.notes(job)),
        signed=options.sign is not None,
        replaced=replaced,
    )


def _check_kept(folder: Path, parts: Sequence[Part]) -> None:
    """Make sure that the self-test left no file behind: a signature covers what was listed."""
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    changed = found.symmetric_difference(part.path for part in parts)
    assert not changed, f"the self-test wrote or removed {', '.join(sorted(changed))}"


def _check_fits(package: ModelPackage, variant: Variant, target: Target) -> None:
    """Refuse what no app of the target could run, before anything is written."""
    task = package.contents.task
    if len(package.component_names) > 1 or task.generation is not None:
        raise InputError(
            f"{package.path} makes its answer token by token, in several runs",
            expected=f"one run an answer: {', '.join(sorted(target.tasks))}",
            fix=f"toolkit.load({str(package.path)!r}) in Python runs it without torch",
        )
    if task.name not in target.tasks:
        raise InputError(
            f"the task of {package.path} is {task.name}, which the target {target.name} has no "
            "app for",
            expected=f"one of {', '.join(sorted(target.tasks))}",
            fix=f"toolkit.load({str(package.path)!r}) in Python runs it without torch",
        )
    if variant.entry.ep != _ANY:
        others = [one.name for one in package.variants if one.entry.ep == _ANY]
        raise InputError(
            f"the variant {variant.name!r} was compiled for {variant.entry.ep}",
            expected="a variant that any processor runs",
            fix=f"--variant {others[0]}"
            if others
            else f"{package.path} has none: export the model again with toolkit export",
        )


def _check_tokens(package: ModelPackage, options: BundleOptions) -> None:
    """Refuse texts of more tokens than the model was made for: its position table ends there."""
    text = package.contents.task.text
    if text is None:
        return
    for spec in package.inputs:
        name = spec.shape[1] if len(spec.shape) == 2 else ""
        size = options.fix_shapes.get(str(name), 0)
        if size > text.max_length:
            raise InputError(
                f"{name}={size} asks for texts of {size} tokens",
                expected=f"at most {text.max_length}, which {package.path} was exported for",
                fix=f"--fix-shapes {name}={text.max_length}",
            )
