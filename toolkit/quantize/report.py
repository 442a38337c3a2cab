"""What `quantize` holds candidates to, and what it says of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import CheckFailedError
from toolkit.evaluate.metrics import Estimate


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a variant must keep.

    Attributes:
        max_drop: Most that the main metric may fall below the parent's, as a share (0.005 is half a
            percentage point).
        min_agreement: Least share of samples with the parent's label.
        max_batch_flips: Most samples whose label batch mates may change.
        max_perplexity_rise: For language models, in place of `max_drop`: most that the perplexity
            may rise, as a share of the parent's.
    """

    max_drop: float = 0.005
    min_agreement: float = 0.0
    max_batch_flips: int = 0
    max_perplexity_rise: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to quantize, as measured on the user's data and this machine.

    Attributes:
        variant: The variant's name when it is kept.
        method: How it was made.
        size_bytes: Size of the model file.
        latency_ms: Median for one sample, in runs interleaved with the parent's.
        parent_latency_ms: The parent's median in those runs.
        latency_ratio: Median ratio to the parent.
        latency_ratio_95: Its 95 % interval.
        metric: The main metric; none without labels.
        drop: How far it is below the parent's; none without labels.
        agreement: Share of samples with the parent's label.
        batch_flips: Samples whose label differs between running alone and in a batch; of a
            language model, places whose likeliest token does.
        perplexity_rise: How far a language model's perplexity is above the parent's, as a share.
        largest_change: Largest change of a probability against the parent.
        kept: Whether it became a variant.
        why: The reason, in words.
    """

    variant: str
    method: str
    size_bytes: int = 0
    latency_ms: float | None = None
    parent_latency_ms: float | None = None
    latency_ratio: float | None = None
    latency_ratio_95: tuple[float, float] | None = None
    metric: Estimate | None = None
    drop: float | None = None
    agreement: float | None = None
    batch_flips: int | None = None
    perplexity_rise: float | None = None
    largest_change: float | None = None
    kept: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class QuantizeReport:
    """What `quantize` tried and kept.

    Attributes:
        package: The package.
        parent: The variant that the candidates were made from, with its size and metric.
        chosen: Name of the variant that was added.
        candidates: Everything tried.
        limits: What they were held to.
        n: Samples.
        data_sha256: Digest of the data file.
        replaced: Whether a variant of that name stood there before.
        preferred: Whether it comes first, so that it is taken when no variant is named.
    """

    package: Path
    parent: Candidate
    chosen: str
    candidates: tuple[Candidate, ...]
    limits: Limits
    n: int
    data_sha256: str
    replaced: bool = False
    preferred: bool = False

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        return {
            "package": str(self.package),
            "chosen": self.chosen or None,
            "parent": msgspec.to_builtins(self.parent),
            "candidates": msgspec.to_builtins(self.candidates),
            "limits": msgspec.to_builtins(self.limits),
            "n": self.n,
            "data_sha256": self.data_sha256,
            "replaced": self.replaced,
            "preferred": self.preferred,
        }


class QuantizeFailedError(CheckFailedError):
    """No candidate kept its promises.

    Attributes:
        report: What was tried.
    """

    def __init__(self, report: QuantizeReport) -> None:
        tried = "; ".join(f"{c.method}: {c.why}" for c in report.candidates)
        super().__init__(
            f"no quantized variant of {report.package} kept its promises; nothing was added",
            expected=f"a drop of at most {report.limits.max_drop:g}, agreement of at least "
            f"{report.limits.min_agreement:g}, at most {report.limits.max_batch_flips} batch "
            f"flips, smaller or faster. Tried {tried}",
            fix="raise --max-drop or --max-batch-flips if the use allows it, or keep fp32",
        )
        self.report = report
