"""The model package: a directory that holds variants of one model and what they share.

Most models are one component. One of several, such as an encoder and a decoder, is opened with one
of them in focus, so that whatever works on a package works on one component.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.errors import InputError
from toolkit.package.format import (
    REFERENCE,
    Component,
    Contents,
    Manifest,
    Signature,
    VariantContents,
    VariantEntry,
    read_document,
    reference_role,
)
from toolkit.package.integrity import (
    asset_folder,
    check_asset,
    check_files,
    portable,
    refuse_links,
)
from toolkit.package.tuned import Split, options_here, split_here, untuned
from toolkit.tensors import TensorSpec

MANIFEST = "manifest.json"
COMPONENT_FILE = "component.json"
SUFFIX = ".ortpackage"

SESSION_OPTIONS = {
    "session.disable_quant_qdq",
    "session.enable_cpu_mem_arena",
    "session.enable_mem_pattern",
    "session.graph_optimization_level",
    "session.intra_op.allow_spinning",
    "session.intra_op_num_threads",
}
"""What a variant may set. Among ONNX Runtime's other options are some that write files where they
like, which 1.29 takes from a package in silence."""


def is_bare(source: Path, variant: str | None = None) -> bool:
    """Whether a source is a bare `.onnx` file, and no package.

    Args:
        source: What was named.
        variant: The variant that was asked for, which a bare file does not have.

    Raises:
        InputError: A variant of a bare file was asked for.
    """
    if source.suffix.lower() != ".onnx":
        return False
    if variant is not None:
        raise InputError(
            f"{source} is a bare model: it has no variant {variant!r}",
            expected="a model package",
            fix="leave --variant out",
        )
    return True


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One graph of a package.

    Attributes:
        name: Its name, and its directory's.
        model: The `.onnx` file.
        entry: What `component.json` says of it.
    """

    name: str
    model: Path
    entry: VariantEntry = field(repr=False)

    @property
    def contents(self) -> VariantContents:
        """Precision, method, parent, files, size, parity and details."""
        return self.entry.additional_metadata.toolkit

    @property
    def session_options(self) -> dict[str, str]:
        """ONNX Runtime session configuration that the package asks for on this machine."""
        return options_here(self.entry.executor_info.ort.session_options, self.contents.details)

    @property
    def untuned_options(self) -> dict[str, str]:
        """Session options on a machine that nothing was tuned for."""
        return untuned(self.entry.executor_info.ort.session_options, self.contents.details)

    def split(self, provider: str) -> Split | None:
        """How piles of samples are split best here, if that was tuned for the provider."""
        return split_here(self.contents.details, provider)


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A package that was opened: documents checked, files checked when they are used.

    It has one component in focus: variants, inputs, outputs and the reference are that one's.

    Attributes:
        path: The directory.
        manifest: `manifest.json`.
        components: `component.json` by component, in the manifest's order.
        component_name: The component in focus.
    """

    path: Path
    manifest: Manifest = field(repr=False)
    components: Mapping[str, Component] = field(repr=False)
    component_name: str

    @classmethod
    def open(cls, path: Path, component: str | None = None) -> "ModelPackage":
        """Open a package and check the documents of all its components.

        Args:
            path: The directory.
            component: The component in focus; the manifest's first when not given.

        Raises:
            InputError: It is no package, its documents are damaged or name a path outside it, it
                holds a symbolic link, or it has no such component.
        """
        is_gguf = path.suffix.lower() == ".gguf" and path.is_file()
        if is_gguf or ((path / "config.json").is_file() and not (path / MANIFEST).exists()):
            raise InputError(
                f"{path} is a checkpoint, which has to be exported first",
                expected="a model package",
                fix=f"toolkit export {path} -o NAME.ortpackage",
            )
        if not path.is_dir():
            state = "is a file" if path.exists() else "does not exist"
            raise InputError(
                f"{path} {state}",
                expected="a model package, a directory that toolkit export writes",
                fix="toolkit export SOURCE -o NAME.ortpackage",
            )
        refuse_links(path)
        manifest = read_document(path / MANIFEST, Manifest)
        contents = manifest.additional_metadata.toolkit
        if not manifest.components or contents.signatures.keys() != manifest.components.keys():
            raise InputError(
                f"{path / MANIFEST} has the components {', '.join(manifest.components) or 'none'} "
                f"and signatures of {', '.join(contents.signatures) or 'none'}",
                expected="one component or more, each with its signature",
            )
        components = {name: _read_component(path, manifest, name) for name in manifest.components}
        for address in contents.assets.values():
            portable(asset_folder(address), named_in=path / MANIFEST)
        first = next(iter(components))
        opened = cls(path=path, manifest=manifest, components=components, component_name=first)
        return opened if component is None else opened.focused(component)

    @property
    def component_names(self) -> tuple[str, ...]:
        """Every component, in the manifest's order."""
        return tuple(self.components)

    def focused(self, name: str) -> "ModelPackage":
        """The same package with another component in focus.

        Raises:
            InputError: There is no such component.
        """
        if name not in self.components:
            raise InputError(
                f"{self.path} has no component {name!r}",
                expected=f"one of {', '.join(self.components)}",
                fix=f"toolkit inspect {self.path}",
            )
        return replace(self, component_name=name)

    @property
    def component(self) -> Component:
        """`component.json` of the component in focus."""
        return self.components[self.component_name]

    @property
    def contents(self) -> Contents:
        """Task, signatures, source, assets and history."""
        return self.manifest.additional_metadata.toolkit

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the component in focus."""
        return self.contents.signatures[self.component_name]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph inputs of the component in focus."""
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph outputs of the component in focus."""
        return self.signature.outputs

    @property
    def component_directory(self) -> Path:
        """The folder that holds the variants of the component in focus."""
        return self.path / self.manifest.components[self.component_name]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every variant of the component in focus, the preferred one first."""
        return tuple(self._variant(name) for name in self.component.variants)

    def variant(self, name: str | None = None) -> Variant:
        """The named variant, or the preferred one.

        Raises:
            InputError: There is no such variant.
        """
        known = self.component.variants
        if name is None and known:
            return self._variant(next(iter(known)))
        if name is None or name not in known:
            several = len(self.components) > 1
            place = f"component {self.component_name!r} of {self.path}" if several else self.path
            raise InputError(
                f"{place} has no variant {name!r}" if name else f"{place} has no variant",
                expected=f"one of {', '.join(known)}",
                fix=f"toolkit inspect {self.path}",
            )
        return self._variant(name)

    def float_variant(self) -> Variant:
        """The fp32 variant as exported, or any other fp32 one where there is none.

        Those that `optimize` wrote hold operators that other steps do not look into.

        Raises:
            InputError: There is none of precision fp32.
        """
        floats = [variant for variant in self.variants if variant.contents.precision == "fp32"]
        if floats:
            return min(floats, key=lambda found: bool(found.contents.parent))
        raise InputError(
            f"{self.path} has no fp32 variant to start from",
            expected="a variant of precision fp32",
            fix="name one with --variant, or toolkit export SOURCE -o NAME.ortpackage",
        )

    def variant_of_each(self, name: str | None = None) -> dict[str, Variant]:
        """The variants that make the whole model, by component.

        Every component gives the variant of this name. One that has none of this name gives its
        preferred one, so that a decoder can be quantized and its encoder left as it is.

        Args:
            name: The variant; every component's preferred one when not given.

        Raises:
            InputError: No component has such a variant.
        """
        has_it = [other for other, made in self.components.items() if name in made.variants]
        if name is not None and not has_it:
            return {self.component_name: self.variant(name)}  # which says what there is
        return {
            other: self.focused(other).variant(name if other in has_it else None)
            for other in self.components
        }

    def _variant(self, name: str) -> Variant:
        entry = self.component.variants[name]
        directory = self.component_directory / entry.variant_directory
        return Variant(name=name, model=directory / entry.executor_info.ort.model_file, entry=entry)

    def verified(self, variant: Variant) -> Path:
        """The variant's model file, after every file of the variant matched its hash.

        Raises:
            InputError: A file is missing or damaged, or the model's is not among them.
        """
        files = variant.contents.files
        named_in = self.component_directory / COMPONENT_FILE
        directory = variant.model.parent
        present = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
        for name in sorted((present | {variant.model.name}) - files.keys()):
            raise InputError(
                f"{named_in} has no hash for {directory / name}", expected="one hash a file"
            )
        check_files(variant.model.parent, files, named_in=named_in)
        return variant.model

    def asset(self, role: str) -> Path | None:
        """The directory of a shared asset after its content matched its address.

        Args:
            role: "preprocessing", or "reference" for that of the component in focus.

        Returns:
            None when the package has no such asset.

        Raises:
            InputError: The asset is missing or damaged.
        """
        role = reference_role(self.component_name) if role == REFERENCE else role
        address = self.contents.assets.get(role)
        return None if address is None else self._checked_asset(address)

    def _checked_asset(self, address: str) -> Path:
        directory = self.path / "shared_assets" / asset_folder(address)
        check_asset(directory, address)
        return directory

    def verify(self) -> int:
        """Check every file of the package, of all components; says how many there are.

        Hidden files and folders do not count: the system's, and those of a step that is running.

        Raises:
            InputError: A file is missing, damaged, or of no variant and no asset.
        """
        known = {self.path / MANIFEST}
        for view in map(self.focused, self.components):
            known.add(view.component_directory / COMPONENT_FILE)
            for variant in view.variants:
                folder = view.verified(variant).parent
                known |= {folder / name for name in variant.contents.files}
        for address in self.contents.assets.values():
            known |= {file for file in self._checked_asset(address).rglob("*") if file.is_file()}
        for file in sorted(file for file in self.path.rglob("*") if file.is_file()):
            is_hidden = any(part.startswith(".") for part in file.relative_to(self.path).parts)
            if file not in known and not is_hidden:
                raise InputError(
                    f"{file} belongs to no variant and no asset of the package",
                    expected="the files that were written, and no others",
                    fix="delete it, or copy the package again",
                )
        return len(known)


def refuse_component(file: Path, component: str | None) -> None:
    """Refuse a component that is named of a bare `.onnx` file.

    Raises:
        InputError: One is named.
    """
    if component is not None:
        raise InputError(
            f"{file} is a bare model: it has no component {component!r}",
            expected="a model package",
            fix="leave --component out",
        )


def _read_component(path: Path, manifest: Manifest, name: str) -> Component:
    file = path / portable(manifest.components[name], named_in=path / MANIFEST) / COMPONENT_FILE
    component = read_document(file, Component)
    if component.component_name != name:
        raise InputError(
            f"{file} is of the component {component.component_name!r}", expected=f"of {name!r}"
        )
    for variant, entry in component.variants.items():
        forbidden = entry.executor_info.ort.session_options.keys() - SESSION_OPTIONS
        if forbidden:
            raise InputError(
                f"variant {variant!r} sets {', '.join(sorted(forbidden))}",
                expected=f"session options among {', '.join(sorted(SESSION_OPTIONS))}",
            )
        portable(entry.variant_directory, named_in=file)
        portable(entry.executor_info.ort.model_file, named_in=file)
    return component
