"""One parent graph, compiled for one chip after the other and judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.compiling.judging import Judge, calibration_feeds
from toolkit.compiling.prepared import prepare
from toolkit.compiling.reasons import reasons
from toolkit.compiling.report import Compiled
from toolkit.errors import CheckFailedError, InputError, SetupError
from toolkit.evaluate.samples import Samples
from toolkit.longest import too_long_explained
from toolkit.package import ModelPackage, Variant
from toolkit.package.write import CompiledFor, add_variant
from toolkit.progress import Progress
from toolkit.runtime import Provider, Session, SessionOptions, open_session
from toolkit.runtime.compiled import QnnCompatibility
from toolkit.runtime.failures import CompiledModelError
from toolkit.runtime.fresh import call_fresh
from toolkit.runtime.placement import Placement
from toolkit.runtime.providers import DEFAULT_CHIP

SQNR_DB = 20.0
"""Least signal-to-noise ratio of the outputs against the CPU's, where no data says more: an error
of a tenth of their size. Measured on QNN's simulator (2.7.0) in halves: 63 dB for a small
convolutional
network, 40 for a fine-tuned MiniLM, 27 for an LSTM over 128 tokens."""

CALIBRATION = 128
"""Most samples that ranges are measured on; never more than half of the data."""

PARITY_SLACK = 2.0
"""`validate` allows so many times the difference that was measured here."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all chips of one call have in common.

    Attributes:
        package: The package, with a component in focus.
        parent: The variant that is compiled.
        provider: What compiles it.
        sizes: The size of every symbolic dimension.
        precision: What is computed in; see `CompileReport`.
        quantizes: Whether the graph is quantized to that first.
        require: Least share of the nodes by the provider's word.
        min_agreement: Least share of the samples with the CPU's answer.
        progress: Called with a line for each thing that begins.
    """

    package: ModelPackage
    parent: Variant
    provider: Provider
    sizes: Mapping[str, int]
    precision: str
    quantizes: bool
    require: Mapping[str, float]
    min_agreement: float
    progress: Progress

    def prepare(
        self,
        target: Path,
        samples: Samples | None,
        *,
        limit: int,
        seed: int,
    ) -> Judge:
        """Write the graph that is compiled, and say what its answers are held against."""
        fixed = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        self.progress(f"{self.parent.name}{f' at {fixed}' if fixed else ''}: its answers")
        model = self.package.verified(self.parent)
        with too_long_explained(self.package, self.sizes):
            cpu = open_session(
                model, SessionOptions(fix_shapes=self.sizes), config=self.parent.session_options
            )
        prepare(model, target, self.sizes)
        judged = samples
        if samples is not None and self.quantizes:
            judged = self._quantize(target, cpu, samples, seed=seed)
        if judged is not None and limit:
            judged = judged.head(limit, seed=seed)
        return Judge.of(self.package, cpu, self.sizes, judged)

    def _quantize(self, model: Path, cpu: Session, samples: Samples, *, seed: int) -> Samples:
        """Quantize the graph in place on some of the samples; returns the others."""
        from toolkit.quantize.qnn import quantize_for_qnn

        if len(samples) < 2:
            raise InputError(
                "the data holds one sample, and ranges are measured on others than are compared",
                expected="two samples or more",
            )
        count = min(CALIBRATION, len(samples) // 2)
        order = np.random.default_rng(seed).permutation(len(samples)).tolist()
        drawn, rest = (samples.take(sorted(part)) for part in (order[:count], order[count:]))
        self.progress(f"{self.precision}: ranges on {len(drawn)} samples")
        feeds = calibration_feeds(self.package, cpu, drawn)
        quantize_for_qnn(model, model, feeds, bits=8 if self.precision == "int8" else 16)
        return rest

    def compile(
        self, graph: Path, target: Path, options: Mapping[str, str], name: str, judge: Judge
    ) -> Compiled:
        """Compile for one chip, open what comes out, and judge it."""
        chip = options["soc_model"]
        self.progress(f"{name}: compiling for chip {chip}")
        request: dict[str, Any] = {
            "model": str(graph),
            "target": str(target),
            "provider": str(self.provider),
            "provider_options": dict(options),
            "require": dict(self.require),
        }
        try:
            found = call_fresh(
                "toolkit.compiling.child", request, doing=f"compiling for chip {chip}"
            )
        except SetupError as error:
            raise self._refused(error, chip, graph) from error
        placed = Placement(operators=found["operators"])
        session = self._opened(target, options)
        known = QnnCompatibility.parsed(session.compatibility)
        if known is None or known.chips != (int(chip),):
            raise InputError(
                f"{self.provider.ort_name} compiled for {session.compatibility or 'no chip'}, and "
                f"chip {chip} was asked for",
                expected="a chip that this release of QNN's SDK knows",
            )
        self.progress(f"{name}: its answers")
        parity = judge.parity(session)
        made = Compiled(
            variant=name,
            soc=chip,
            compatibility=session.compatibility,
            size_bytes=target.stat().st_size,
            nodes=placed.nodes,
            elsewhere=placed.elsewhere(self.provider),
            reasons=reasons(graph, self.provider, placed.elsewhere(self.provider)),
            share=placed.share(self.provider) or 0.0,
            max_abs_error=parity.max_abs_error,
            sqnr_db=parity.sqnr_db,
            compared=judge.rows,
            agreement=judge.agreement(session),
            samples=0 if judge.samples is None else len(judge.samples),
            replaced=name in self.package.component.variants,
        )
        self._check(made, parity.mismatch)
        return made

    def _refused(self, error: SetupError, chip: str, graph: Path) -> SetupError:
        """Why nothing was compiled, in the words of this command."""
        if self.precision != "fp16":
            fix = f"another --soc, such as {DEFAULT_CHIP}"
        else:
            fix = "another --soc, or for a chip without halves --precision int8 --data FILE"
        problem = error.problem.replace(str(graph), self.parent.name)
        return SetupError(f"chip {chip}: {problem}", expected=error.expected, fix=fix)

    def _opened(self, target: Path, options: Mapping[str, str]) -> Session:
        try:
            return open_session(
                target, SessionOptions(provider=self.provider, provider_options=options)
            )
        except CompiledModelError as error:
            raise SetupError(
                f"what was compiled for chip {options['soc_model']} does not open here, so nothing "
                f"can be said of its answers: {error.problem}",
                expected="a chip that can be simulated here, or that very chip",
                fix=f"toolkit compile PKG on a machine with that chip, or --soc {DEFAULT_CHIP}",
            ) from error

    def _check(self, made: Compiled, mismatch: str) -> None:
        if mismatch:
            raise CheckFailedError(
                f"what was compiled for chip {made.soc} has another signature: {mismatch}",
                expected=f"outputs as {self.parent.name} has them; nothing was added",
            )
        # Written so that a NaN fails.
        if made.agreement is not None and not made.agreement >= self.min_agreement:
            raise CheckFailedError(
                f"chip {made.soc} gives the CPU's answer to {made.agreement:.1%} of "
                f"{made.samples} samples",
                expected=f"at least {self.min_agreement:.1%}; nothing was added",
                fix="--precision int8-16bit or fp16, or a lower --min-agreement",
            )
        if made.agreement is None and not made.sqnr_db >= SQNR_DB:
            raise CheckFailedError(
                f"against the CPU's, the outputs of chip {made.soc} have {made.sqnr_db:.1f} dB of "
                "signal to noise",
                expected=f"at least {SQNR_DB:g} dB on the reference inputs; nothing was added",
                fix="--data FILE   (counts answers that change instead)"
                if len(self.package.component_names) == 1
                else "leave this component to the CPU",
            )

    def publish(
        self, model: Path, made: Compiled, options: Mapping[str, str], judge: Judge, *, force: bool
    ) -> None:
        """Add the variant to the package."""
        samples = judge.samples
        details: dict[str, Any] = {
            "soc": made.soc,
            "fixed_shapes": dict(self.sizes),
            "nodes": dict(made.nodes),
            "elsewhere": dict(made.elsewhere),
            "reasons": dict(made.reasons),
            "share": made.share,
        }
        if samples is not None:
            details |= {
                "agreement": made.agreement,
                "samples": made.samples,
                "data_sha256": samples.sha256,
                "min_agreement": self.min_agreement,
            }
        add_variant(
            self.package,
            model,
            name=made.variant,
            precision="fp16" if self.precision == "fp16" else self.precision.split("-")[0],
            method=f"{self.provider}-{self.precision}",
            parent=self.parent.name,
            parity={
                "max_abs_error": made.max_abs_error,
                "sqnr_db": made.sqnr_db,
                "limit": PARITY_SLACK * made.max_abs_error,
            },
            details=details,
            step="compile",
            preferred=False,
            force=force,
            compiled=CompiledFor(
                ep=self.provider.ort_name,
                provider_options=dict(options),
                compatibility=made.compatibility,
            ),
        )
