"""The model package: a directory that holds variants of one model and what they share."""

from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import InputError
from toolkit.package.format import (
    COMPONENT,
    Component,
    Contents,
    Manifest,
    VariantContents,
    VariantEntry,
    read_document,
)
from toolkit.package.integrity import (
    asset_folder,
    check_asset,
    check_files,
    portable,
    refuse_links,
)
from toolkit.package.tuned import Split, options_here, split_here

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

    def split(self, provider: str) -> Split | None:
        """How piles of samples are split best here, if that was tuned for the provider."""
        return split_here(self.contents.details, provider)


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A package that was opened: documents checked, files checked when they are used.

    Attributes:
        path: The directory.
        manifest: `manifest.json`.
        component: `component.json` of the model.
    """

    path: Path
    manifest: Manifest = field(repr=False)
    component: Component = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> "ModelPackage":
        """Open a package and check its documents.

        Raises:
            InputError: It is no package, its documents are damaged or name a path outside it, or it
                holds a symbolic link.
        """
        if not path.is_dir():
            state = "is a file" if path.exists() else "does not exist"
            raise InputError(
                f"{path} {state}",
                expected="a model package, a directory that toolkit export writes",
                fix="toolkit export SOURCE -o NAME.ortpackage",
            )
        refuse_links(path)
        manifest = read_document(path / MANIFEST, Manifest)
        folder = manifest.components.get(COMPONENT)
        if folder is None or len(manifest.components) != 1:
            raise InputError(
                f"{path / MANIFEST} has the components {', '.join(manifest.components) or 'none'}",
                expected=f"one component, {COMPONENT!r}",
            )
        component_directory = path / portable(folder, named_in=path / MANIFEST)
        component = read_document(component_directory / COMPONENT_FILE, Component)
        for name, entry in component.variants.items():
            forbidden = entry.executor_info.ort.session_options.keys() - SESSION_OPTIONS
            if forbidden:
                raise InputError(
                    f"variant {name!r} sets {', '.join(sorted(forbidden))}",
                    expected=f"session options among {', '.join(sorted(SESSION_OPTIONS))}",
                )
            portable(entry.variant_directory, named_in=component_directory / COMPONENT_FILE)
            portable(
                entry.executor_info.ort.model_file, named_in=component_directory / COMPONENT_FILE
            )
        for address in manifest.additional_metadata.toolkit.assets.values():
            portable(asset_folder(address), named_in=path / MANIFEST)
        return cls(path=path, manifest=manifest, component=component)

    @property
    def contents(self) -> Contents:
        """Task, tensor specification, source, assets and history."""
        return self.manifest.additional_metadata.toolkit

    @property
    def component_directory(self) -> Path:
        """The folder that holds the variants."""
        return self.path / self.manifest.components[COMPONENT]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every variant, the preferred one first."""
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
            raise InputError(
                f"{self.path} has no variant {name!r}" if name else f"{self.path} has no variant",
                expected=f"one of {', '.join(known)}",
                fix=f"toolkit inspect {self.path}",
            )
        return self._variant(name)

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
            role: "preprocessing" or "reference".

        Returns:
            None when the package has no such asset.

        Raises:
            InputError: The asset is missing or damaged.
        """
        address = self.contents.assets.get(role)
        if address is None:
            return None
        directory = self.path / "shared_assets" / asset_folder(address)
        check_asset(directory, address)
        return directory

    def verify(self) -> int:
        """Check every file of the package; says how many there are.

        Hidden files and folders do not count: the system's, and those of a step that is running.

        Raises:
            InputError: A file is missing, damaged, or of no variant and no asset.
        """
        known = {self.path / MANIFEST, self.component_directory / COMPONENT_FILE}
        for variant in self.variants:
            folder = self.verified(variant).parent
            known |= {folder / name for name in variant.contents.files}
        for role in self.contents.assets:
            known |= {file for file in (self.asset(role) or self.path).rglob("*") if file.is_file()}
        for file in sorted(file for file in self.path.rglob("*") if file.is_file()):
            is_hidden = any(part.startswith(".") for part in file.relative_to(self.path).parts)
            if file not in known and not is_hidden:
                raise InputError(
                    f"{file} belongs to no variant and no asset of the package",
                    expected="the files that were written, and no others",
                    fix="delete it, or copy the package again",
                )
        return len(known)
