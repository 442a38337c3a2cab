"""What `quantize` holds candidates to, and what it says of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from toolkit.evaluate.metrics import Estimate

Objective = Literal["latency", "size", "balanced"]
"""What the best of several that keep their promises is: the fastest, the smallest, or that of the
least product of both shares. What counts as equal, `choosing.best` says."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a variant must keep.

    Attributes:
        max_drop: Most that the main metric may fall below the parent's, as a share (0.005 is half a
            percentage point).
        min_agreement: Least share of samples with the parent's label; where nothing says what the
            outputs mean, with outputs that moved by 10 % of their norm at most.
        max_batch_flips: Most samples whose label another setting may change: batch mates, padding,
            the number of threads.
        max_perplexity_rise: For language models, in place of `max_drop`: most that the perplexity
            may rise, as a share of the parent's.
        min_sqnr_db: Least ratio of the parent's outputs to what they change by, in decibels.
    """

    max_drop: float = 0.005
    min_agreement: float = 0.0
    max_batch_flips: int = 0
    max_perplexity_rise: float = 0.1
    min_sqnr_db: float = 0.0


WITHOUT_LABELS = Limits(min_agreement=0.99, min_sqnr_db=15.0)
"""Where no labels say what a change costs. 15 dB is an error of a sixth of the outputs' size: a
MiniLM that agrees with its parent on 99 % of the texts is at 20 to 25."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to quantize, as measured on the user's data and this machine.

    Attributes:
        variant: The variant's name when it is kept.
        method: How it was made.
        precision: The variant's precision.
        kept_nodes: Nodes that stayed in float.
        size_bytes: Size of the model file.
        latency_ms: Median for one sample, in runs interleaved with the parent's.
        parent_latency_ms: The parent's median in those runs.
        latency_ratio: Median ratio to the parent.
        latency_ratio_95: Its 95 % interval.
        first_look: Whether the latency is that of a first, short look, after which the candidate
            was given up.
        metric: The main metric; none without labels.
        drop: How far it is below the parent's; none without labels.
        agreement: Share of samples that are as the parent's; `QuantizeReport.agreement_of` says
            what of.
        batch_flips: Samples whose label differs between running alone and in a batch; of a
            language model, places whose likeliest token does.
        flips: Samples that a setting flips and that it does not flip for the parent, by setting:
            mates, padding, threads; see `other_settings`.
        sqnr_db: Ratio of the parent's raw outputs to what they change by, in decibels; of plain
            tensors, that of the output that changes most.
        unrolled_db: The same where a model gets its own state back, step after step.
        perplexity_rise: How far a language model's perplexity is above the parent's, as a share.
        largest_change: Largest change of a probability against the parent.
        saturation: What was checked of integer products for other processors: how many there are,
            how many cannot saturate, and how many were emulated on calibration data.
        samples: How many of the samples the figures are of; fewer than all for a candidate that was
            given up early.
        seconds: Time that making and measuring it took.
        beaten_by: The method of a candidate that is as small and clearly faster, for which this one
            was given up after a first look at its latency; empty elsewhere.
        kept: Whether it became a variant.
        why: The reason, in words.
    """

    variant: str
    method: str
    precision: str = ""
    kept_nodes: tuple[str, ...] = ()
    size_bytes: int = 0
    latency_ms: float | None = None
    parent_latency_ms: float | None = None
    latency_ratio: float | None = None
    latency_ratio_95: tuple[float, float] | None = None
    first_look: bool = False
    metric: Estimate | None = None
    drop: float | None = None
    agreement: float | None = None
    batch_flips: int | None = None
    flips: Mapping[str, int] = field(default_factory=dict)
    sqnr_db: float | None = None
    unrolled_db: float | None = None
    perplexity_rise: float | None = None
    largest_change: float | None = None
    saturation: Mapping[str, int] = field(default_factory=dict)
    samples: int = 0
    seconds: float = 0.0
    beaten_by: str = ""
    kept: bool = False
    why: str = ""

    @property
    def most_flips(self) -> tuple[str, int] | None:
        """The setting that changes most answers, and how many; None where none was measured."""
        counted = dict(self.flips)
        if self.batch_flips is not None:
            counted = {"batch mates": self.batch_flips, **counted}
        return max(counted.items(), key=lambda found: found[1]) if counted else None


@dataclass(frozen=True, kw_only=True)
class QuantizeReport:
    """What `quantize` tried and kept.

    Attributes:
        package: The package.
        parent: The variant that the candidates were made from, with its size and metric.
        chosen: Name of the variant that was added.
        candidates: Everything tried.
        limits: What they were held to.
        objective: What the best one was chosen by.
        metric: The main metric's name; empty without labels.
        agreement_of: What agreement counts; see `agreement_of` of `toolkit.evaluate.agreement`.
        n: Samples.
        data_sha256: Digest of the data file.
        calibration: What ranges were measured on: origin, count, seed, digest.
        environment: The machine: its processor, instruction set and versions.
        seconds: The whole search.
        stopped: Why the search ended before its end; empty where it did not.
        replaced: Whether a variant of that name stood there before.
        preferred: Whether it comes first, so that it is taken when no variant is named.
        isa: Whose integer products the variant is for: "native" is this machine's.
        output: The file that was written, where a bare one was quantized.
        notes: What the user should know of the data or of the file.
    """

    package: Path
    parent: Candidate
    chosen: str
    candidates: tuple[Candidate, ...]
    limits: Limits
    objective: Objective = "balanced"
    metric: str = ""
    agreement_of: str = "labels"
    n: int
    data_sha256: str
    calibration: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""
    replaced: bool = False
    preferred: bool = False
    isa: str = "native"
    output: Path | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return {**document, "chosen": self.chosen or None}

    @property
    def is_bare(self) -> bool:
        """Whether a bare file was quantized."""
        return self.package.suffix.lower() == ".onnx"

    @property
    def is_of_outputs(self) -> bool:
        """Whether nothing says what outputs mean, so that agreement counts how far they moved."""
        return self.agreement_of.startswith("outputs")

    @property
    def is_language(self) -> bool:
        """Whether candidates were held to their perplexity."""
        return any(candidate.perplexity_rise is not None for candidate in self.candidates)

    @property
    def closest(self) -> Candidate | None:
        """Of the candidates that were measured and not kept, the one that missed the least."""
        measured = [c for c in self.candidates if c.agreement is not None and c.why]
        if not measured:
            return None
        return max(measured, key=lambda c: (-c.why.count(";"), c.samples, c.agreement or 0.0))
