"""The model package on disk: what is written, what is refused, what survives a failure."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tiny_package import GRAPH, THRESHOLD, add_preferred_variant, write_tiny_package
from toolkit.errors import InputError
from toolkit.package import ModelPackage
from toolkit.package import write as writing
from toolkit.package.format import (
    Component,
    ComponentDigest,
    ComponentMetadata,
    read_document,
    write_document,
)
from toolkit.package.integrity import asset_address, file_hashes
from toolkit.package.replacing import replacing


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return write_tiny_package(tmp_path / "tiny.ortpackage")


def snapshot(path: Path) -> dict[str, str]:
    return file_hashes(path)


def edit(file: Path, change: Any) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_the_documents_have_the_keys_that_onnx_runtime_reads(package: ModelPackage) -> None:
    manifest = json.loads((package.path / "manifest.json").read_text())
    component = json.loads((package.path / "model" / "component.json").read_text())
    assert set(manifest) == {
        "schema_version",
        "package_name",
        "package_version",
        "description",
        "layout",
        "components",
        "additional_metadata",
    }
    assert manifest["schema_version"] == "1.0"
    assert manifest["components"] == {"model": "model"}
    assert set(component) == {"component_name", "variants", "additional_metadata"}
    variant = component["variants"]["fp32"]
    assert "device" not in variant
    assert variant["ep"] == "CPUExecutionProvider"
    assert variant["executor_info"]["ort"]["model_file"] == "model.onnx"


def test_an_asset_lies_at_the_address_of_its_content(package: ModelPackage) -> None:
    folder = package.asset("preprocessing")
    assert folder is not None
    address = package.contents.assets["preprocessing"]
    assert asset_address(file_hashes(folder)) == address
    assert folder.name == address.replace(":", "-")


def test_a_variant_that_is_added_as_preferred_is_opened_first(package: ModelPackage) -> None:
    after = add_preferred_variant(package, name="other", threshold=THRESHOLD + 1, limit=2.0)
    assert [variant.name for variant in after.variants] == ["other", "fp32"]
    assert [step.step for step in after.contents.history] == ["export", "quantize"]
    assert after.variant("other").contents.parent == "fp32"


def test_an_existing_variant_is_replaced_only_by_force(package: ModelPackage) -> None:
    after = add_preferred_variant(package, name="other", threshold=THRESHOLD + 1, limit=2.0)
    with pytest.raises(InputError, match="already has a variant 'other'"):
        add_preferred_variant(after, name="other", threshold=THRESHOLD + 2, limit=2.0)


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["write_document", "rename"])
def test_a_failure_while_a_variant_is_added_leaves_the_package_as_it_was(
    package: ModelPackage,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    moment: str,
) -> None:
    before = snapshot(package.path)

    def fail(*arguments: object) -> None:
        raise failure

    with monkeypatch.context() as patched:
        if moment == "rename":
            patched.setattr(Path, "replace", fail)
        else:
            patched.setattr(writing, moment, fail)
        with pytest.raises(type(failure)):
            add_preferred_variant(package, name="other", threshold=THRESHOLD + 1, limit=2.0)
    assert snapshot(package.path) == before
    assert ModelPackage.open(package.path).verify() == len(before)


def test_a_failure_while_a_package_is_replaced_keeps_the_old_one(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage")
    before = snapshot(package.path)

    def replace_and_fail() -> None:
        with replacing(package.path, force=True) as staging:
            (staging / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_and_fail()
    assert snapshot(package.path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.ortpackage"]


def test_a_directory_that_is_not_empty_needs_force(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    with (
        pytest.raises(InputError, match="is not empty"),
        replacing(tmp_path / "kept", force=False),
    ):
        pass
    assert (tmp_path / "kept" / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["model/fp32/model.onnx", "manifest.json", "model/component.json", "tokenizer.json"]
)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_file_is_named_and_refused(package: ModelPackage, name: str, damage: str) -> None:
    file = next(path for path in package.path.rglob("*") if path.as_posix().endswith(name))
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    else:
        middle = content.index(b"a", len(content) // 3)  # in a word of a document, not in spaces
        file.write_bytes(content[:middle] + b"b" + content[middle + 1 :])
    with pytest.raises(InputError) as refused:
        ModelPackage.open(package.path).verify()
    named = refused.value.problem + refused.value.expected
    assert Path(name).name in named or package.contents.assets["preprocessing"][7:] in named


def test_a_file_that_nobody_wrote_into_a_variant_is_refused(package: ModelPackage) -> None:
    (package.component_directory / "fp32" / "weights.bin").write_bytes(b"1")
    with pytest.raises(InputError, match=r"no hash for .*weights\.bin"):
        package.verified(package.variant("fp32"))


def test_another_order_of_the_variants_is_refused(package: ModelPackage) -> None:
    add_preferred_variant(package, name="int8", threshold=7, limit=9)
    file = package.component_directory / "component.json"
    edit(file, lambda c: c.update(variants=dict(reversed(c["variants"].items()))))
    with pytest.raises(InputError, match="was changed after it was written"):
        ModelPackage.open(package.path)


def test_a_field_that_a_later_version_adds_leaves_packages_readable(package: ModelPackage) -> None:
    class Later(ComponentDigest, frozen=True, kw_only=True):
        added: int = 7

    class LaterMetadata(ComponentMetadata, frozen=True, kw_only=True):
        toolkit: Later = Later()

    class LaterComponent(Component, frozen=True, kw_only=True):
        additional_metadata: LaterMetadata = LaterMetadata()

    file = package.component_directory / "component.json"
    read = read_document(file, LaterComponent)
    assert read.additional_metadata == LaterMetadata(
        toolkit=Later(digest=read.additional_metadata.toolkit.digest, added=7)
    )


def test_an_unknown_key_in_the_manifest_is_refused(package: ModelPackage) -> None:
    edit(package.path / "manifest.json", lambda m: m.update(surprise=1))
    with pytest.raises(InputError, match="surprise"):
        ModelPackage.open(package.path)


def test_a_newer_schema_is_refused_with_both_versions(package: ModelPackage) -> None:
    edit(package.path / "manifest.json", lambda m: m.update(schema_version="2.0", new=True))
    with pytest.raises(InputError, match=r"schema version '2\.0'") as refused:
        ModelPackage.open(package.path)
    assert "'1.0'" in refused.value.expected


def test_a_session_option_that_writes_files_is_refused(package: ModelPackage) -> None:
    file = package.component_directory / "component.json"
    component = read_document(file, Component)
    entry = component.variants["fp32"]
    options = {"session.optimized_model_filepath": "anywhere.onnx"}
    ort = msgspec.structs.replace(entry.executor_info.ort, session_options=options)
    info = msgspec.structs.replace(entry.executor_info, ort=ort)
    variants = {"fp32": msgspec.structs.replace(entry, executor_info=info)}
    write_document(msgspec.structs.replace(component, variants=variants), file)
    with pytest.raises(InputError, match=r"session\.optimized_model_filepath"):
        ModelPackage.open(package.path)


@pytest.mark.parametrize("path", ["/etc", "../other", "a/../../b", "C:\\models", "a\\b", ""])
def test_a_path_out_of_the_package_is_refused(package: ModelPackage, path: str) -> None:
    import msgspec

    from toolkit.package.format import Manifest, read_document, write_document

    file = package.path / "manifest.json"
    manifest = read_document(file, Manifest)
    write_document(msgspec.structs.replace(manifest, components={"model": path}), file)
    with pytest.raises(InputError, match="names the path"):
        ModelPackage.open(package.path)


def test_a_symbolic_link_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    model = package.variant("fp32").model
    shutil.copy(model, tmp_path / "elsewhere.onnx")
    model.unlink()
    try:
        model.symlink_to(tmp_path / "elsewhere.onnx")
    except OSError as error:
        pytest.skip(f"this system makes no symbolic links: {error}")
    with pytest.raises(InputError, match="symbolic link"):
        ModelPackage.open(package.path)


@pytest.mark.parametrize("kind", ["file", "missing"])
def test_what_is_no_package_is_refused(tmp_path: Path, kind: str) -> None:
    path = GRAPH if kind == "file" else tmp_path / "nothing"
    with pytest.raises(InputError, match="is a file" if kind == "file" else "does not exist"):
        ModelPackage.open(path)


def test_an_unknown_variant_is_refused_with_those_that_exist(package: ModelPackage) -> None:
    with pytest.raises(InputError, match="no variant 'int4'") as refused:
        package.variant("int4")
    assert "fp32" in refused.value.expected


@pytest.mark.parametrize("name", ["../../evil", "a/b", "component.json", ".x", "", "con fuse"])
def test_a_name_that_is_no_plain_folder_is_refused(package: ModelPackage, name: str) -> None:
    before = snapshot(package.path.parent)
    with pytest.raises(InputError, match="cannot have the name"):
        add_preferred_variant(package, name=name, threshold=THRESHOLD + 1, limit=2.0)
    assert snapshot(package.path.parent) == before


def test_a_variant_never_replaces_its_parent(package: ModelPackage) -> None:
    with pytest.raises(InputError, match="would replace the one that it is made from"):
        writing.check_variant_name(package, "fp32", parent="fp32", force=True)


def test_two_processes_that_add_a_variant_each_keep_both(package: ModelPackage) -> None:
    opened_before = ModelPackage.open(package.path)
    add_preferred_variant(package, name="one", threshold=THRESHOLD + 1, limit=2.0)
    after = add_preferred_variant(opened_before, name="two", threshold=THRESHOLD + 2, limit=2.0)
    assert [variant.name for variant in after.variants] == ["two", "one", "fp32"]
    assert [step.variant for step in after.contents.history] == ["fp32", "one", "two"]


def test_an_interrupt_before_the_manifest_takes_the_variant_back(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(package.path)
    replace = Path.replace

    def interrupt(self: Path, target: Path) -> Path:
        if target.name == "manifest.json":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            add_preferred_variant(package, name="other", threshold=THRESHOLD + 1, limit=2.0)
    assert snapshot(package.path) == before


def test_an_interrupt_between_the_two_renames_keeps_the_old_package(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(package.path)
    rename = Path.rename

    def interrupt(self: Path, target: Path) -> Path:
        if target == package.path and (self / "half").is_file():
            raise KeyboardInterrupt
        return rename(self, target)

    def replace_it() -> None:
        with replacing(package.path, force=True) as staging:
            (staging / "half").write_text("written")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            replace_it()
    assert snapshot(package.path) == before


@pytest.mark.parametrize("name", ["more.txt", "model/library.so", "shared_assets/x/y.json"])
def test_a_file_of_no_variant_and_no_asset_is_named(package: ModelPackage, name: str) -> None:
    (package.path / ".DS_Store").write_text("the system's")
    assert package.verify() == len(snapshot(package.path)) - 1
    (package.path / name).parent.mkdir(exist_ok=True)
    (package.path / name).write_text("nobody's")
    with pytest.raises(InputError, match=f"{Path(name).name} belongs to no variant"):
        package.verify()
