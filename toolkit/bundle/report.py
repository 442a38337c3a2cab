"""What `toolkit bundle` says of what it wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a bundle.

    Attributes:
        path: Where it lies in the bundle, with slashes.
        kind: "model", "self-test", "app", "runtime" or "document".
        size_bytes: Its size.
        wire_bytes: Its size after gzip, which is what a browser is sent; None where nothing is.
    """

    path: str
    kind: str
    size_bytes: int
    wire_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A library that the app needs.

    Attributes:
        name: Its name in the registry it comes from.
        version: The pinned version.
        license: SPDX identifier.
        purl: Package URL, as the SBOM names it.
        size_bytes: Of its files when installed for the target; None where it was not at hand.
        included: Whether it lies in the bundle.
    """

    name: str
    version: str
    license: str
    purl: str
    size_bytes: int | None
    included: bool


@dataclass(frozen=True, kw_only=True)
class SelfTestReport:
    """How the bundle's own self-test ended.

    Attributes:
        command: What to type in the bundle's folder.
        ran: Whether it ran here.
        where: On which runtime; or why it did not run.
        cases: Reference cases that were compared.
        largest_difference: Of any element of any output.
        limit: What it was held to.
    """

    command: str
    ran: bool
    where: str
    cases: int = 0
    largest_difference: float | None = None
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class BundleReport:
    """The result of `bundle`.

    Attributes:
        package: The package.
        variant: The variant that was bundled.
        target: The target.
        path: The bundle's folder.
        parts: Every file, largest first.
        runtime: What the app needs beside it.
        self_test: How it ended.
        notes: What a person should know, such as what could not be checked here.
        signed: Whether it carries a signature.
        replaced: Whether something stood at the path before.
    """

    package: Path
    variant: str
    target: str
    path: Path
    parts: Sequence[Part]
    runtime: Sequence[Runtime]
    self_test: SelfTestReport
    notes: Sequence[str]
    signed: bool
    replaced: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the bundle."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def wire_bytes(self) -> int | None:
        """Bytes of all files that a browser is sent, after gzip; None where nothing is sent."""
        sent = [part.wire_bytes for part in self.parts if part.wire_bytes is not None]
        return sum(sent) if sent else None

    def as_json(self) -> Mapping[str, Any]:
        """The document of `--json`, without the schema version."""
        return {
            "target": self.target,
            "package": str(self.package),
            "variant": self.variant,
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "wire_bytes": self.wire_bytes,
            "files": [vars(part) for part in self.parts],
            "runtime": [vars(one) for one in self.runtime],
            "self_test": vars(self.self_test),
            "signed": self.signed,
            "replaced": self.replaced,
            "notes": list(self.notes),
        }
