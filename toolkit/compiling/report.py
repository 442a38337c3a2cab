"""What `compile` added, where its nodes run and how it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.runtime.providers import Provider


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """One variant, for one chip.

    Attributes:
        variant: Its name.
        soc: The chip's number, as the provider option `soc_model` takes it.
        compatibility: What the provider says of the chip and the SDK that it compiled for.
        size_bytes: Size of the file.
        nodes: Nodes of the graph by ONNX Runtime's provider name, as they were compiled.
        elsewhere: Nodes by operator type that were not compiled: the CPU runs them.
        reasons: Why, by operator type, where the provider's rules say it.
        share: The part of the nodes that was compiled, 0 to 1.
        max_abs_error: Largest difference from the CPU's outputs.
        sqnr_db: Least signal-to-noise ratio of an output against the CPU's, in decibels.
        compared: Rows that those two were measured on.
        agreement: Share of the samples with the CPU's answer, 0 to 1; None without data.
        samples: Samples that were compared.
        replaced: Whether a variant of that name stood there before.
    """

    variant: str
    soc: str
    compatibility: str
    size_bytes: int
    nodes: Mapping[str, int]
    elsewhere: Mapping[str, int]
    reasons: Mapping[str, str]
    share: float
    max_abs_error: float
    sqnr_db: float
    compared: int
    agreement: float | None = None
    samples: int = 0
    replaced: bool = False


@dataclass(frozen=True, kw_only=True)
class CompileReport:
    """What `compile` did.

    Attributes:
        package: The package.
        component: The component in focus.
        parent: The variant that was compiled.
        provider: The execution provider that compiled it.
        precision: What it computes in: "fp16", "int8" or "int8-16bit".
        shapes: The size of every dimension that was symbolic.
        chosen: Names of those dimensions whose size was not given, but chosen from the package.
        compiled: The new variants, one a chip.
    """

    package: Path
    component: str
    parent: str
    provider: Provider
    precision: str
    shapes: Mapping[str, int]
    chosen: tuple[str, ...]
    compiled: tuple[Compiled, ...]

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return {**document, "variants": [one.variant for one in self.compiled]}
