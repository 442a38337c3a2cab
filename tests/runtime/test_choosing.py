"""Which variant a provider is given where none is named."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from tests.tiny_package import write_tiny_package
from toolkit.choosing import chosen_of_each, chosen_variant, options_for
from toolkit.package import ModelPackage
from toolkit.package.format import VariantEntry
from toolkit.runtime import Provider, SessionOptions


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    """Variants that were compiled for two chips, one in fp32 and one in fp16."""
    opened = write_tiny_package(tmp_path / "tiny.ortpackage")
    entry = opened.variant("fp32").entry
    half = changed(entry.additional_metadata.toolkit, precision="fp16")
    variants = {
        "chip-57": compiled(entry, "57"),
        "chip-57-long": compiled(entry, "57", sequence=64),
        "chip-69": compiled(entry, "69"),
        "fp32": entry,
        "fp16": changed(
            entry, additional_metadata=changed(entry.additional_metadata, toolkit=half)
        ),
    }
    component = changed(opened.component, variants=variants)
    return replace(opened, components={opened.component_name: component})


def compiled(entry: VariantEntry, chip: str, sequence: int = 16) -> VariantEntry:
    options = {"backend_type": "htp", "soc_model": chip}
    ort = changed(entry.executor_info.ort, provider_options=options)
    info = changed(entry.executor_info, ort=ort)
    details = {"fixed_shapes": {"batch": 1, "sequence": sequence}}
    ours = changed(entry.additional_metadata.toolkit, details=details)
    metadata = changed(entry.additional_metadata, toolkit=ours)
    return changed(
        entry, ep=Provider.QNN.ort_name, executor_info=info, additional_metadata=metadata
    )


@pytest.mark.parametrize(
    "provider, given, name",
    [
        ("cpu", {}, "fp32"),
        ("cuda", {}, "fp16"),
        ("openvino", {}, "fp32"),
        ("qnn", {}, "chip-57"),
        ("qnn", {"soc_model": "69"}, "chip-69"),
        ("qnn", {"soc_model": "SM8650"}, "chip-57"),
        ("qnn", {"soc_model": "069", "backend_type": "HTP"}, "chip-69"),
        ("qnn", {"soc_model": "SM8550"}, "fp32"),
        ("qnn", {"soc_model": "43"}, "fp32"),
    ],
)
def test_the_variant_that_suits_the_provider_is_chosen(
    package: ModelPackage, provider: str, given: dict[str, str], name: str
) -> None:
    options = SessionOptions(provider=Provider(provider), provider_options=given)
    assert chosen_variant(package, None, options).name == name
    assert [one.name for one in chosen_of_each(package, None, options).values()] == [name]
    assert chosen_variant(package, "fp32", options).name == "fp32"


def test_a_variant_brings_its_options_and_those_given_go_first(package: ModelPackage) -> None:
    variant = package.variant("chip-57")
    plain = options_for(variant, SessionOptions(provider=Provider.QNN))
    assert plain.provider_options == {"backend_type": "htp", "soc_model": "57"}
    given = SessionOptions(provider=Provider.QNN, provider_options={"soc_model": "69"})
    assert options_for(variant, given).provider_options["soc_model"] == "69"
    cpu = SessionOptions()
    assert options_for(variant, cpu) is cpu


@pytest.mark.parametrize(
    "sizes, name, left",
    [
        ({"batch": 1, "sequence": 16}, "chip-57", {}),
        ({"batch": 1}, "chip-57", {}),
        ({"sequence": 64}, "chip-57-long", {}),
        ({"batch": 2, "sequence": 16}, "fp32", {"batch": 2, "sequence": 16}),
        ({"batc": 1}, "fp32", {"batc": 1}),
    ],
)
def test_a_compiled_variant_is_chosen_at_its_own_sizes_alone(
    package: ModelPackage, sizes: dict[str, int], name: str, left: dict[str, int]
) -> None:
    options = SessionOptions(provider=Provider.QNN, fix_shapes=sizes)
    chosen = chosen_variant(package, None, options)
    assert chosen.name == name
    assert options_for(chosen, options).fix_shapes == left
