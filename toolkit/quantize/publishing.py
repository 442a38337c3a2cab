"""The chosen candidate becomes a variant of the package."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.evaluate.validation import BATCH_LIMIT, reference_errors, with_slack
from toolkit.machine import installed_versions, instruction_set, this_machine
from toolkit.package.write import MODEL_FILE, add_variant, staging_directory
from toolkit.quantize.calibration import Calibration
from toolkit.quantize.choosing import is_preferred
from toolkit.quantize.context import Method
from toolkit.quantize.measuring import Judge
from toolkit.quantize.report import Candidate, QuantizeReport
from toolkit.runtime import open_session


@dataclass(frozen=True, kw_only=True)
class Made:
    """A candidate's graph.

    Attributes:
        method: How it was made.
        file: The graph.
    """

    method: Method
    file: Path


def publish(
    judge: Judge, best: Candidate, made: Made, report: QuantizeReport, *, force: bool
) -> None:
    """Add a candidate to the package, in front of its parent where it is not much slower.

    Args:
        judge: What measured it.
        best: The candidate.
        made: Its graph.
        report: Of the whole search, for the variant's details.
        force: Replace a variant of its name.
    """
    package = judge.package
    with staging_directory(package) as folder:
        staged = folder / "variant"
        staged.mkdir()
        shutil.copyfile(made.file, staged / MODEL_FILE)
        add_variant(
            package,
            staged,
            name=best.variant,
            precision=made.method.precision,
            method=made.method.name,
            parent=judge.parent.name,
            parity=_parity(judge, staged / MODEL_FILE, made.method),
            details=_details(best, report),
            step="quantize",
            preferred=is_preferred(best),
            force=force,
            session_options=made.method.session_options,
        )


def told(calibration: Calibration) -> dict[str, Any]:
    """What a report says of the calibration set."""
    return {
        "origin": calibration.origin,
        "samples": len(calibration),
        "seed": calibration.seed,
        "sha256": calibration.sha256,
    }


def environment() -> dict[str, Any]:
    """What integer products depend on: processor, instruction set and versions."""
    machine = this_machine()
    return {
        "machine": machine.cpu,
        "instruction_set": instruction_set(machine.cpu_features),
        "cpu_features": [*machine.cpu_features],
        "versions": installed_versions(),
    }


def _parity(judge: Judge, model: Path, method: Method) -> Mapping[str, float]:
    session = open_session(model, judge.options, config=method.session_options)
    error, alone = reference_errors(judge.package, session)
    return {"max_abs_error": error, "limit": with_slack(error), BATCH_LIMIT: with_slack(alone)}


def _details(best: Candidate, report: QuantizeReport) -> Mapping[str, object]:
    limits = report.limits
    return {
        "metric": None if best.metric is None else best.metric.value,
        "drop": best.drop,
        "agreement": best.agreement,
        "batch_flips": best.batch_flips,
        "flips": dict(best.flips),
        "sqnr_db": best.sqnr_db if best.sqnr_db != float("inf") else None,
        "unrolled_db": best.unrolled_db if best.unrolled_db != float("inf") else None,
        "perplexity_rise": best.perplexity_rise,
        "largest_change": best.largest_change,
        "latency_ratio": best.latency_ratio,
        "kept_nodes": [*best.kept_nodes],
        "samples": report.n,
        "data_sha256": report.data_sha256,
        "calibration": dict(report.calibration),
        "isa": report.isa,
        "saturation": dict(best.saturation),
        "objective": report.objective,
        "max_drop": limits.max_drop,
        "min_agreement": limits.min_agreement,
        "max_batch_flips": limits.max_batch_flips,
        "max_perplexity_rise": limits.max_perplexity_rise,
        "min_sqnr_db": limits.min_sqnr_db,
        **report.environment,
    }
