"""Which variant of a package is opened on an execution provider, and with which options."""

from collections.abc import Mapping
from dataclasses import replace

from toolkit.package import ModelPackage, Variant
from toolkit.runtime import Provider, SessionOptions
from toolkit.runtime.provider_options import given_options

HALF_PRECISION = frozenset({Provider.CUDA, Provider.TENSORRT, Provider.DIRECTML, Provider.WEBGPU})
"""Providers that compute in fp16 what a package holds in fp16; the CPU casts it, node by node."""


def chosen_variant(package: ModelPackage, name: str | None, options: SessionOptions) -> Variant:
    """The named variant, or the one that suits the provider best.

    That is the first one made for the provider whose own options are none other than those given
    (a graph that was compiled for a chip is made for that chip alone); then, for a GPU, the first
    one in fp16; then the first one that was made for no other provider.

    Args:
        package: The package, with a component in focus.
        name: The variant.
        options: Provider and its options.

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
    return all(given.get(name, value) == value for name, value in own.items())


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
    """Session options with the provider options that a variant carries; those given go first."""
    own = variant.entry.executor_info.ort.provider_options
    if not own or variant.entry.ep != options.provider.ort_name:
        return options
    return replace(options, provider_options={**own, **options.provider_options})
