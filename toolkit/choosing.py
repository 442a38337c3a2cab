"""Which variant of a package is opened on an execution provider, and with which options."""

from collections.abc import Mapping
from dataclasses import replace

from toolkit.package import ModelPackage, Variant
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.provider_options import given_options

HALF_PRECISION = frozenset({Provider.CUDA, Provider.TENSORRT, Provider.DIRECTML, Provider.WEBGPU})
"""Providers that compute in fp16 what a package holds in fp16; the CPU casts it, node by node."""

FIXED_SHAPES = "fixed_shapes"
"""In a variant's details: the sizes that it was compiled at, by the name of the dimension."""


def chosen_variant(package: ModelPackage, name: str | None, options: SessionOptions) -> Variant:
    """The named variant, or the one that suits the provider best.

    That is the first one made for the provider whose own options and sizes are none other than
    those given (a graph that was compiled is made for one chip and one size alone); then, for a
    GPU, the first one in fp16; then the first one that was made for no other provider.

    Args:
        package: The package, with a component in focus.
        name: The variant.
        options: Provider, its options, and sizes of dimensions.

    Raises:
        InputError: There is no such variant, or the provider has no such option.
    """
    if name is not None or not package.variants:
        return package.variant(name)
    general = [one for one in package.variants if one.entry.ep == Provider.CPU.ort_name]
    if options.provider is not Provider.CPU:
        for one in package.variants:
            if one.entry.ep == options.provider.ort_name and _agrees(one, options):
                return one
    if options.provider in HALF_PRECISION:
        for one in general:
            if one.contents.precision == "fp16":
                return one
    return general[0] if general else package.variant(None)


def _agrees(variant: Variant, options: SessionOptions) -> bool:
    """Whether no option that is given says otherwise than the variant's own."""
    given = given_options(options.provider, options.provider_options)
    own = given_options(options.provider, variant.entry.executor_info.ort.provider_options)
    agrees = all(given.get(name, value) == value for name, value in own.items())
    return agrees and (not _is_compiled(variant) or _has_sizes(variant, options))


def _is_compiled(variant: Variant) -> bool:
    return FIXED_SHAPES in variant.contents.details


def _has_sizes(variant: Variant, options: SessionOptions) -> bool:
    """Whether the sizes that are given are among those that a variant was compiled at."""
    sizes = variant.contents.details.get(FIXED_SHAPES, {})
    return all(sizes.get(name) == size for name, size in options.fix_shapes.items())


def chosen_of_each(
    package: ModelPackage, name: str | None, options: SessionOptions
) -> Mapping[str, Variant]:
    """The variants that make the whole model, by component.

    Raises:
        InputError: No component has such a variant.
    """
    if name is not None:
        return package.variant_of_each(name)
    return {
        component: chosen_variant(package.focused(component), None, options)
        for component in package.component_names
    }


def options_for(variant: Variant, options: SessionOptions) -> SessionOptions:
    """Session options with the provider options that a variant carries; those given go first.

    Sizes that a variant was compiled at are left out: its graph has no dimension to fix.
    """
    own = variant.entry.executor_info.ort.provider_options
    if variant.entry.ep != options.provider.ort_name:
        return options
    if _has_sizes(variant, options):
        options = replace(options, fix_shapes={})
    if not own:
        return options
    return replace(options, provider_options={**own, **options.provider_options})
