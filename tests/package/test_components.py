"""A package of several components: what is opened, checked, and changed of which."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.package.two_components import DECODER_IDS, STATES, add_decoder, write_two_components
from tests.tiny_package import write_tiny_package
from toolkit.errors import InputError
from toolkit.evaluate.validation import reference_feeds
from toolkit.inference import load_variant
from toolkit.package import Contents, ModelPackage, Source
from toolkit.package.format import Component, Manifest, read_document, write_document
from toolkit.package.integrity import file_hashes
from toolkit.package.write import Part, write_package
from toolkit.package.write_tuned import write_tuned
from toolkit.runtime import SessionOptions
from toolkit.tasks import TaskSpec


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_two_components(tmp_path / "two.ortpackage")


def test_the_first_component_of_the_manifest_is_in_focus(package: ModelPackage) -> None:
    assert package.component_names == ("encoder", "decoder")
    assert package.component_name == "encoder"
    assert [spec.name for spec in package.inputs] == ["input_ids"]
    assert [spec.name for spec in package.outputs] == ["states"]


def test_a_view_has_its_own_variants_signature_and_reference(package: ModelPackage) -> None:
    view = ModelPackage.open(package.path, "decoder")
    assert view == package.focused("decoder")
    assert [spec.name for spec in view.inputs] == ["decoder_ids", "states"]
    assert [spec.name for spec in view.outputs] == ["logits"]
    assert view.variant().model == package.path / "decoder" / "fp32" / "model.onnx"
    assert set(reference_feeds(package)) == {"input_ids"}
    assert set(reference_feeds(view)) == {"decoder_ids", "states"}
    model = load_variant(view, view.variant(), SessionOptions())
    answer = model.run({"decoder_ids": DECODER_IDS + 1, "states": STATES})["logits"]
    np.testing.assert_array_equal(answer, [[14.0], [8.0]])


def test_an_unknown_component_is_refused_with_those_that_exist(package: ModelPackage) -> None:
    with pytest.raises(InputError, match="no component 'vocoder'") as refused:
        ModelPackage.open(package.path, "vocoder")
    assert refused.value.expected == "one of encoder, decoder"


def test_a_package_of_one_component_is_as_it_was(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    assert (package.component_names, package.component_name) == (("model",), "model")
    assert set(package.contents.assets) == {"preprocessing", "reference"}
    assert ModelPackage.open(package.path, "model") == package
    assert package.variant_of_each("fp32") == {"model": package.variant("fp32")}


def test_every_file_of_every_component_is_checked(package: ModelPackage) -> None:
    files = len(file_hashes(package.path))
    assert package.verify() == package.focused("decoder").verify() == files


@pytest.mark.parametrize("name", ["model.onnx", "component.json"])
def test_a_flipped_byte_in_the_second_component_is_found(package: ModelPackage, name: str) -> None:
    (file,) = (package.path / "decoder").rglob(name)
    content = file.read_bytes()
    at = content.index(b"decoder")
    file.write_bytes(content[:at] + b"D" + content[at + 1 :])
    with pytest.raises(InputError, match=name):
        ModelPackage.open(package.path, "encoder").verify()


def test_a_damaged_reference_of_the_second_component_is_found(package: ModelPackage) -> None:
    folder = package.focused("decoder").asset("reference")
    assert folder is not None
    (folder / "outputs.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"outputs\.npz"):
        package.verify()


def test_a_variant_is_added_to_the_component_in_focus(package: ModelPackage) -> None:
    before = file_hashes(package.path / "encoder")
    after = add_decoder(package)
    assert after.component_name == "decoder"
    assert [variant.name for variant in after.variants] == ["int8", "fp32"]
    assert [variant.name for variant in after.focused("encoder").variants] == ["fp32"]
    assert file_hashes(package.path / "encoder") == before
    assert [(step.component, step.variant) for step in after.contents.history] == [
        ("encoder", "fp32"),
        ("decoder", "fp32"),
        ("decoder", "int8"),
    ]
    assert after.verify() == len(file_hashes(package.path))


def test_tuned_options_stay_in_their_component(package: ModelPackage) -> None:
    options = {"session.intra_op_num_threads": "1"}
    view = write_tuned(
        package.focused("decoder"), "fp32", session_options=options, machine={}, evidence={}
    )
    asked = view.variant().entry.executor_info.ort.session_options
    assert (view.component_name, asked) == ("decoder", options)
    assert view.focused("encoder").variant().entry == package.variant().entry


def test_a_whole_model_takes_the_preferred_variant_where_a_name_is_missing(
    package: ModelPackage,
) -> None:
    package = add_decoder(package).focused("encoder")
    for name, wanted in (
        ("int8", ["fp32", "int8"]),
        ("fp32", ["fp32"] * 2),
        (None, ["fp32", "int8"]),
    ):
        chosen = package.variant_of_each(name)
        assert list(chosen) == ["encoder", "decoder"]
        assert [variant.name for variant in chosen.values()] == wanted
    with pytest.raises(InputError, match=r"'encoder' of .* has no variant 'int4'"):
        package.variant_of_each("int4")


def test_a_component_without_its_signature_is_refused(package: ModelPackage) -> None:
    file = package.path / "manifest.json"
    manifest = read_document(file, Manifest)
    components = {"encoder": "encoder"}
    write_document(msgspec.structs.replace(manifest, components=components), file)
    with pytest.raises(InputError, match="signatures of encoder, decoder"):
        ModelPackage.open(package.path)


def test_a_component_that_is_another_one_is_refused(package: ModelPackage) -> None:
    file = package.path / "manifest.json"
    manifest = read_document(file, Manifest)
    components = {"encoder": "encoder", "decoder": "encoder"}
    write_document(msgspec.structs.replace(manifest, components=components), file)
    with pytest.raises(InputError, match="is of the component 'encoder'"):
        ModelPackage.open(package.path)


def test_a_forbidden_session_option_of_the_second_component_is_refused(
    package: ModelPackage,
) -> None:
    file = package.path / "decoder" / "component.json"
    document = json.loads(file.read_text())
    ort = document["variants"]["fp32"]["executor_info"]["ort"]
    ort["session_options"] = {"session.optimized_model_filepath": "anywhere.onnx"}
    write_document(msgspec.convert(document, Component), file)
    with pytest.raises(InputError, match=r"session\.optimized_model_filepath"):
        ModelPackage.open(package.path)


@pytest.mark.parametrize(
    "names", [["a", "a"], ["shared_assets"], ["a/b"], [".."], [""]], ids=lambda names: names[-1]
)
def test_components_that_cannot_stand_beside_each_other_are_refused(
    tmp_path: Path, names: list[str]
) -> None:
    parts = [
        Part(component=name, model=tmp_path, inputs=(), outputs=(), reference=None, parity={})
        for name in names
    ]
    with pytest.raises(InputError, match="components cannot be"):
        write_package(
            tmp_path,
            name="any",
            contents=Contents(
                task=TaskSpec(name="tensors"),
                source=Source(kind="onnx", name="", sha256="", exporter="", versions={}),
            ),
            parts=parts,
            assets={},
            variant="fp32",
            precision="fp32",
            method="onnx",
        )
    assert not list(tmp_path.iterdir())
