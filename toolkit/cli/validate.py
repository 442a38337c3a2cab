"""`toolkit validate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import (
    AllowFallbackOption,
    ComponentOption,
    JsonOption,
    LabelColumnOption,
    ProviderOption,
    ProviderOptionOption,
    QuietOption,
    SourceArgument,
    TextColumnOption,
    ThreadsOption,
    VariantOption,
    WhereOption,
    sample_options,
    session_options,
)
from toolkit.errors import CheckFailedError
from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.evaluate.validation import Check


def _row(check: "Check") -> list[str]:
    passed = "yes" if check.passed else "NO"
    value, limit = f"{check.value:.4g}", f"{check.limit:.4g}"
    return [check.name, check.variant, passed, value, limit, check.detail]


def validate(
    source: SourceArgument,
    data: Annotated[
        Path | None, typer.Option("--data", help="Labeled data: .csv, .jsonl (also .gz) or .npz.")
    ] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    where: WhereOption = None,
    component: ComponentOption = None,
    variant: VariantOption = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    allow_fallback: AllowFallbackOption = False,
    threads: ThreadsOption = 0,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make every check again, on this machine, without torch."""
    from toolkit.evaluate import validation

    report = validation.validate(
        source,
        data=data,
        component=component,
        variant=variant,
        reading=sample_options(text_column=text_column, label_column=label_column, where=where),
        options=session_options(
            provider=provider,
            provider_option=provider_option,
            allow_fallback=allow_fallback,
            threads=threads,
        ),
        progress=output.progress(quiet=quiet),
    )
    if json_output:
        output.show_json(asdict(report))
    else:
        output.show_table(
            "",
            ["check", "variant", "passed", "value", "limit", ""],
            [_row(check) for check in report.checks],
        )
    missed = [f"{c.name} {c.variant}".strip() for c in report.checks if not c.passed]
    if missed:
        raise CheckFailedError(
            f"{len(missed)} of {len(report.checks)} checks failed: {', '.join(missed)}",
            expected="every value within its limit",
        )
