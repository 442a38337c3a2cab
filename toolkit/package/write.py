"""Writing packages: everything under a temporary name first, then renamed."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError
from toolkit.package.format import (
    COMPONENT,
    SCHEMA_VERSION,
    Component,
    Contents,
    ExecutorInfo,
    Manifest,
    ManifestMetadata,
    OrtExecutor,
    Signature,
    Step,
    VariantContents,
    VariantEntry,
    VariantMetadata,
    reference_role,
    write_document,
)
from toolkit.package.integrity import asset_address, asset_folder, file_hashes
from toolkit.package.package import COMPONENT_FILE, MANIFEST, SUFFIX, ModelPackage
from toolkit.tensors import TensorSpec

MODEL_FILE = "model.onnx"

ASSETS = "shared_assets"

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""It becomes a folder on any system; a dot would let it meet a file of the package."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component of a new package, with its first variant.

    Attributes:
        component: Its name, and its folder's.
        model: The directory that holds the variant's files, `model.onnx` among them; it is moved.
        inputs: The graph inputs.
        outputs: The graph outputs.
        reference: The folder of its reference inputs and outputs, which is copied; None for none.
        parity: Limits and measurements.
    """

    component: str = COMPONENT
    model: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    reference: Path | None
    parity: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CompiledFor:
    """What a compiled variant runs on, and on nothing else.

    Attributes:
        ep: ONNX Runtime's name of the provider.
        provider_options: The provider's options.
        compatibility: What the provider says of the chip and the SDK.
    """

    ep: str
    provider_options: Mapping[str, str]
    compatibility: str


def write_package(
    staging: Path,
    *,
    name: str,
    contents: Contents,
    parts: Sequence[Part],
    assets: Mapping[str, Path],
    variant: str,
    precision: str,
    method: str,
    description: str = "",
) -> None:
    """Fill an empty directory with a package that has one variant of every component.

    Args:
        staging: The directory, from `replacing`.
        name: The package's name.
        contents: Our part of the manifest; its `signatures`, `assets` and `history` are filled in
            here.
        parts: The components, the one first that a package is opened with.
        assets: A folder by role, of what the components share; it is copied to its content address.
        variant: The name of the variants.
        precision: Their precision.
        method: How they were made.
        description: For people.

    Raises:
        InputError: A component's name is no plain one, or two have the same.
    """
    _check_components([part.component for part in parts])
    references = {reference_role(p.component): p.reference for p in parts if p.reference}
    addresses = {
        role: _copy_asset(folder, staging) for role, folder in {**assets, **references}.items()
    }
    for part in parts:
        directory = staging / part.component
        directory.mkdir()
        entry = _entry(
            part.model,
            variant=variant,
            precision=precision,
            method=method,
            parent="",
            parity=part.parity,
        )
        shutil.move(part.model, directory / variant)
        write_document(
            Component(component_name=part.component, variants={variant: entry}),
            directory / COMPONENT_FILE,
        )
    signatures = {p.component: Signature(inputs=p.inputs, outputs=p.outputs) for p in parts}
    history = tuple(
        Step(step="export", component=p.component, variant=variant, report=dict(p.parity))
        for p in parts
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        package_name=name.removesuffix(SUFFIX),
        package_version="1",
        description=description,
        layout="portable",
        components={part.component: part.component for part in parts},
        additional_metadata=ManifestMetadata(
            toolkit=msgspec.structs.replace(
                contents, signatures=signatures, assets=addresses, history=history
            )
        ),
    )
    write_document(manifest, staging / MANIFEST)


def _check_components(names: Sequence[str]) -> None:
    for name in names:
        if not _PLAIN_NAME.fullmatch(name) or name == ASSETS or names.count(name) > 1:
            raise InputError(
                f"the components cannot be {', '.join(map(repr, names))}",
                expected="names of letters, digits, '_' and '-', all different",
            )


def _copy_asset(folder: Path, staging: Path) -> str:
    address = asset_address(file_hashes(folder))
    target = staging / ASSETS / asset_folder(address)
    if not target.exists():
        shutil.copytree(folder, target)
    return address


@contextmanager
def staging_directory(package: ModelPackage) -> Iterator[Path]:
    """A hidden directory inside the package for a variant in the making, gone afterwards."""
    staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=package.component_directory))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def add_variant(
    package: ModelPackage,
    model: Path,
    *,
    name: str,
    precision: str,
    method: str,
    parent: str,
    parity: Mapping[str, Any],
    details: Mapping[str, Any],
    step: str,
    preferred: bool,
    force: bool = False,
    session_options: Mapping[str, str] | None = None,
    compiled: CompiledFor | None = None,
) -> ModelPackage:
    """Add one variant to a package on disk, to the component in focus.

    Everything is written under temporary names and renamed at the end; until the component
    document is replaced the package reads as before. The documents are read again first, so that
    what another process added since `package` was opened stays.

    Args:
        package: The package.
        model: A directory of `staging_directory` that holds `model.onnx`; it is moved.
        name: The variant's name.
        precision: "int8" and the like.
        method: How it was made.
        parent: The variant that it was made from.
        parity: Limits that it was held to, and what was measured.
        details: What else the step recorded.
        step: The command, for the history.
        preferred: Put it first: ONNX Runtime takes the first variant that fits.
        force: Replace a variant of this name.
        session_options: ONNX Runtime session configuration to open it with.
        compiled: What it was compiled for; None for a graph that any provider may run.

    Returns:
        The package as it is now.

    Raises:
        InputError: See `check_variant_name`; or the parent is gone.
    """
    package = ModelPackage.open(package.path, package.component_name)
    check_variant_name(package, name, parent=package.variant(parent).name, force=force)
    known = package.component.variants
    entry = _entry(
        model,
        variant=name,
        precision=precision,
        method=method,
        parent=parent,
        parity=parity,
        details=details,
        session_options=session_options,
        compiled=compiled,
    )
    others = {other: value for other, value in known.items() if other != name}
    variants = {name: entry, **others} if preferred else {**others, name: entry}
    component = msgspec.structs.replace(package.component, variants=variants)
    done = Step(step=step, component=package.component_name, variant=name, report=dict(details))
    history = (*package.contents.history, done)
    manifest = msgspec.structs.replace(
        package.manifest,
        additional_metadata=ManifestMetadata(
            toolkit=msgspec.structs.replace(package.contents, history=history)
        ),
    )
    _publish(package, model, name, component, manifest)
    return ModelPackage.open(package.path, package.component_name)


def check_variant_name(package: ModelPackage, name: str, *, parent: str, force: bool) -> None:
    """Refuse a name that a new variant cannot have.

    Args:
        package: The package.
        name: The new variant's name.
        parent: The variant that it is made from, which it cannot replace.
        force: Replace a variant of this name.

    Raises:
        InputError: It is no plain name or the parent's, or it is taken and `force` is not given.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise InputError(
            f"a variant cannot have the name {name!r}",
            expected="letters, digits, '_' and '-', with a letter or a digit in front",
        )
    if name == parent:
        raise InputError(
            f"variant {name!r} would replace the one that it is made from",
            expected=f"a name other than {parent}",
            fix="pass another --name",
        )
    if name in package.component.variants and not force:
        raise InputError(
            f"{package.path} already has a variant {name!r}",
            expected=f"a name other than {', '.join(package.component.variants)}",
            fix="pass --force to replace it, or another --name",
        )


def _publish(
    package: ModelPackage, model: Path, name: str, component: Component, manifest: Manifest
) -> None:
    directory = package.component_directory
    component_file = directory / COMPONENT_FILE
    new_component = directory / f".{COMPONENT_FILE}.new"
    old_component = directory / f".{COMPONENT_FILE}.old"
    new_manifest = package.path / f".{MANIFEST}.new"
    target = directory / name
    old = directory / f".{name}.old"
    try:
        write_document(component, new_component)
        write_document(manifest, new_manifest)
        shutil.copyfile(component_file, old_component)
        try:
            if target.exists():
                target.rename(old)
            model.rename(target)
            new_component.replace(component_file)
            new_manifest.replace(package.path / MANIFEST)
        except BaseException:  # an interrupt too must leave the package as it was
            if target.exists() and not model.exists():
                shutil.rmtree(target)
            if old.exists():
                old.rename(target)
            if not new_component.exists():
                old_component.replace(component_file)
            raise
    finally:
        for file in (new_component, new_manifest, old_component):
            file.unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


def _entry(
    model: Path,
    *,
    variant: str,
    precision: str,
    method: str,
    parent: str,
    parity: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
    session_options: Mapping[str, str] | None = None,
    compiled: CompiledFor | None = None,
) -> VariantEntry:
    model.chmod(0o755)
    hashes = file_hashes(model)
    return VariantEntry(
        variant_directory=variant,
        ep=compiled.ep if compiled else "CPUExecutionProvider",
        compatibility_string=compiled.compatibility if compiled else msgspec.UNSET,
        executor_info=ExecutorInfo(
            ort=OrtExecutor(
                model_file=MODEL_FILE,
                session_options=dict(session_options or {}),
                provider_options=dict(compiled.provider_options) if compiled else {},
            )
        ),
        additional_metadata=VariantMetadata(
            toolkit=VariantContents(
                precision=precision,
                method=method,
                parent=parent,
                files=hashes,
                size_bytes=sum((model / path).stat().st_size for path in hashes),
                parity=dict(parity),
                details=dict(details or {}),
            )
        ),
    )
