"""What `validate` checks of a compiled variant: that it opens, and answers as it did."""

import warnings
from collections.abc import Iterator
from dataclasses import replace

from toolkit.choosing import options_for
from toolkit.compiling.judging import Judge
from toolkit.errors import ToolkitWarning
from toolkit.evaluate.samples import Samples
from toolkit.evaluate.validation import Check, check
from toolkit.package import ModelPackage, Variant
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.provider_options import checked_options
from toolkit.runtime.providers import provider_of
from toolkit.runtime.session import built_in_providers


def checks_of_compiled(
    package: ModelPackage,
    variant: Variant,
    samples: Samples | None,
    options: SessionOptions,
    *,
    is_named: bool,
) -> Iterator[Check]:
    """Open a compiled variant on its own provider, and its parent on the CPU at the same sizes.

    One that was asked for by its name is opened on the provider and with the options that were
    asked for, as `load` would. Where the provider is not installed there is nothing to open; a
    warning says so, unless the variant was asked for by its name.

    Args:
        package: The package, with the variant's component in focus.
        variant: The compiled one.
        samples: The user's data; None without.
        options: Threads and the like; the provider is the variant's where it is the CPU here.
        is_named: Whether this variant was asked for.

    Raises:
        InputError: The variant is for another provider, chip or SDK, its provider has no such
            option, or its parent is gone.
        SetupError: The provider does not start, or is not installed and `is_named`.
    """
    checked_options(options.provider, options.provider_options)
    provider = provider_of(variant.entry.ep)
    if provider is None or not (is_named or variant.entry.ep in built_in_providers()):
        warnings.warn(
            f"variant {variant.name} was compiled for {variant.entry.ep}, which is not installed "
            "here: its files are checked, its answers are not",
            ToolkitWarning,
            stacklevel=2,
        )
        return
    details = variant.contents.details
    sizes = details["fixed_shapes"]
    parent = package.variant(variant.contents.parent)
    on_cpu = replace(
        options, provider=Provider.CPU, provider_options={}, require={}, fix_shapes=sizes
    )
    cpu = open_session(package.verified(parent), on_cpu, config=parent.session_options)
    own = replace(on_cpu, provider=provider, fix_shapes={}, allow_fallback=False)
    if is_named and options.provider is not Provider.CPU:
        given = options.provider_options
        own = replace(own, provider=options.provider, provider_options=given)
    session = open_session(package.verified(variant), options_for(variant, own))
    declared = {(spec.name, spec.dtype) for spec in (*package.inputs, *package.outputs)}
    found = {(spec.name, spec.dtype) for spec in (*session.inputs, *session.outputs)}
    detail = "inputs and outputs not as declared"
    yield check("tensors", variant.name, len(declared ^ found), 0, detail)
    least = float(details.get("min_agreement", 0.0))
    if not least:  # without a limit there is nothing to check
        samples = None
    judge = Judge.of(package, cpu, sizes, samples)
    parity = judge.parity(session)
    limit = float(variant.contents.parity["limit"])
    detail = parity.mismatch or f"largest difference from {parent.name} on the CPU"
    yield check("reference outputs", variant.name, parity.max_abs_error, limit, detail)
    share = judge.agreement(session)
    if share is not None and samples is not None:
        detail = f"share of {len(samples)} samples that disagree with {parent.name}"
        yield check("disagreement", variant.name, 1 - share, 1 - least, detail)
