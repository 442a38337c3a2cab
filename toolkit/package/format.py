"""The JSON documents of a model package: ONNX Runtime's schema 1.0 with our part inside.

ONNX Runtime rejects unknown top-level keys, so everything of ours lives under
`additional_metadata.toolkit`. A document carries the digest of its own content, so that a flipped
bit in it is found like one in a model.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from toolkit.errors import InputError
from toolkit.package.integrity import WRITE_AGAIN
from toolkit.tasks import TaskSpec
from toolkit.tensors import TensorSpec

SCHEMA_VERSION = "1.0"
COMPONENT = "model"
"""The only component of most packages; encoder-decoder models have an "encoder" and a "decoder"."""

REFERENCE = "reference"


def reference_role(component: str) -> str:
    """The role of a component's reference among the shared assets."""
    return REFERENCE if component == COMPONENT else f"{REFERENCE}.{component}"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a package's model came from.

    Attributes:
        kind: What was exported.
        name: The recipe's, module's or file's name, without its folder.
        sha256: Digest of the weights or of the file.
        exporter: What wrote the first graph.
        versions: Version by distribution name.
    """

    kind: Literal["run", "module", "checkpoint", "onnx"]
    name: str
    sha256: str
    exporter: str
    versions: dict[str, str]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a package's history.

    Attributes:
        step: The command.
        component: The component that it added a variant to.
        variant: The variant that it added.
        report: What it measured.
    """

    step: str
    component: str = COMPONENT
    variant: str
    report: dict[str, Any]


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes into a component and what comes out.

    Attributes:
        inputs: The graph inputs of every variant.
        outputs: The graph outputs of every variant.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Contents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our part of the manifest.

    Attributes:
        task: What the model is for.
        source: Where the model came from.
        signatures: Inputs and outputs by component.
        assets: Address of each shared asset by its role: "preprocessing" and, of each component,
            what `reference_role` calls it.
        history: The steps that added variants, oldest first.
        metrics: The source's own metrics, as its training measured them.
        digest: SHA-256 of the stored document with this field empty.
    """

    task: TaskSpec
    source: Source
    signatures: dict[str, Signature] = {}
    assets: dict[str, str] = {}
    history: tuple[Step, ...] = ()
    metrics: dict[str, Any] = {}
    digest: str = ""


class VariantContents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our part of a variant.

    Attributes:
        precision: "fp32", "fp16", "int8", "int4".
        method: How it was made, such as "torch.onnx" or "dynamic".
        parent: The variant that it was made from; empty for the first.
        files: SHA-256 by file name.
        size_bytes: Size of all its files together.
        parity: Limits that its outputs were held to, and what was measured.
        details: What the step that made it recorded: options, metric, agreement.
    """

    precision: str
    method: str
    parent: str
    files: dict[str, str]
    size_bytes: int
    parity: dict[str, Any]
    details: dict[str, Any] = {}


class ManifestMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest's `additional_metadata`."""

    toolkit: Contents


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`."""

    schema_version: str
    package_name: str
    package_version: str
    description: str
    layout: Literal["portable"]
    components: dict[str, str]
    additional_metadata: ManifestMetadata


class OrtExecutor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ONNX Runtime opens a variant."""

    model_file: str
    session_options: dict[str, str] = {}
    provider_options: dict[str, str] = {}


class ExecutorInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant's `executor_info`."""

    ort: OrtExecutor


class VariantMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant's `additional_metadata`."""

    toolkit: VariantContents


class VariantEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One variant in `component.json`; the order is the order of preference.

    Attributes:
        variant_directory: Its folder in the component's.
        ep: ONNX Runtime's name of the provider that it is made for.
        compatibility_string: Of a compiled graph, what the provider says of the chip and the SDK
            that it was compiled for; ONNX Runtime asks the provider whether that fits.
        executor_info: How it is opened.
        additional_metadata: Our part.
    """

    variant_directory: str
    ep: str
    compatibility_string: str | msgspec.UnsetType = msgspec.UNSET
    executor_info: ExecutorInfo
    additional_metadata: VariantMetadata


class ComponentDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our part of a component."""

    digest: str = ""


class ComponentMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The component's `additional_metadata`."""

    toolkit: ComponentDigest = ComponentDigest()


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`component.json`."""

    component_name: str
    variants: dict[str, VariantEntry]
    additional_metadata: ComponentMetadata = ComponentMetadata()


DocumentT = TypeVar("DocumentT", Manifest, Component)


def write_document(document: Manifest | Component, file: Path) -> None:
    """Write a document with its digest, keys in the order of the fields."""
    digest = _digest(msgspec.json.encode(_with_digest(document, "")))
    sealed = _with_digest(document, digest)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n")


def read_document(file: Path, kind: type[DocumentT]) -> DocumentT:
    """Read a document and check its digest.

    Raises:
        InputError: The file is missing, truncated, of another schema, or not what was written.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}",
            expected="a model package, a directory that toolkit export writes",
        ) from error
    _check_schema(raw, file)
    try:
        document = msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is damaged or not ours: {error}", fix=WRITE_AGAIN) from error
    written = document.additional_metadata.toolkit.digest
    if not written or written != _digest(raw):
        raise InputError(
            f"{file} was changed after it was written: its digest does not match",
            expected=f"sha256 {written or 'in additional_metadata.toolkit.digest'}",
            fix=WRITE_AGAIN,
        )
    return document


class _Schema(msgspec.Struct):
    schema_version: str = SCHEMA_VERSION


def _check_schema(raw: bytes, file: Path) -> None:
    try:
        found = msgspec.json.decode(raw, type=_Schema).schema_version
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no valid JSON: {error}", fix=WRITE_AGAIN) from error
    if found != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema version {found!r}",
            expected=f"schema version {SCHEMA_VERSION!r}",
            fix="update the toolkit: pip install --upgrade onnx-edge-toolkit",
        )


def _with_digest(document: Manifest | Component, digest: str) -> Manifest | Component:
    replace = msgspec.structs.replace
    metadata: Any = document.additional_metadata  # either kind; both hold `toolkit.digest`
    ours = replace(metadata.toolkit, digest=digest)
    return replace(document, additional_metadata=replace(metadata, toolkit=ours))


def _digest(raw: bytes) -> str:
    """SHA-256 of a document as it is stored, its own digest left empty.

    It is of the stored keys, values and their order, in which the variants are preferred; what a
    later version of the toolkit reads into them, such as defaults of new fields, is no part of it.
    Whitespace is not either.
    """
    stored: Any = msgspec.json.decode(raw)
    stored["additional_metadata"]["toolkit"]["digest"] = ""
    return hashlib.sha256(msgspec.json.encode(stored)).hexdigest()
