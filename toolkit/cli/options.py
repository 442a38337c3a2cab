"""Options that several commands share: each is spelled and explained once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from toolkit.runtime.providers import Provider

if TYPE_CHECKING:
    from toolkit.evaluate.samples import SampleOptions
    from toolkit.runtime import SessionOptions

Number = TypeVar("Number", int, float)

PackageArgument = Annotated[
    Path,
    typer.Argument(help="A model package.", metavar="PKG", show_default=False),
]
SourceArgument = Annotated[
    Path,
    typer.Argument(
        help="A model package, or a bare .onnx file.", metavar="PKG-OR-ONNX", show_default=False
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option("--variant", help="The package's variant.", show_default="the preferred one"),
]
ComponentOption = Annotated[
    str | None,
    typer.Option(
        "--component",
        help="The component of a package that has several, such as an encoder and a decoder.",
        metavar="NAME",
        show_default="the first; inspect and validate take all",
    ),
]
OptionalSourceArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A model package, or a bare .onnx file.", metavar="PKG-OR-ONNX", show_default=False
    ),
]
ProviderOption = Annotated[
    Provider,
    typer.Option("--provider", help="Execution provider that must run the graph."),
]
ProviderOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        help="An option of the execution provider; may be repeated.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]
AllowFallbackOption = Annotated[
    bool,
    typer.Option(
        "--allow-fallback", help="Take the CPU, with a warning, where the provider cannot run."
    ),
]
RequireOption = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        help="Least share of the nodes that the provider must run, such as qnn=0.95; below it the "
        "command exits 5.",
        metavar="PROVIDER=SHARE",
        show_default=False,
    ),
]
FixShapesOption = Annotated[
    str | None,
    typer.Option(
        "--fix-shapes",
        help="Sizes of symbolic dimensions, fixed before the graph is optimized: "
        "batch=1,sequence=128. Texts are padded or cut to them.",
        metavar="NAME=SIZE,...",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads",
        min=0,
        help="Intra-op threads; 0 is one a physical core, within affinity and container quota.",
        show_default="0",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of everything drawn at random.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Where to write the result.", show_default=False),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace what is there, and say what was replaced.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Data: .csv or .jsonl (also .gz), .npz, or a folder of images; labeled for metrics.",
    ),
]
TextColumnOption = Annotated[
    str, typer.Option("--text-column", help="The column of the text; found by name when not given.")
]
LabelColumnOption = Annotated[
    str,
    typer.Option("--label-column", help="The column of the label; found by name when not given."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="Keep rows whose column has this value, such as split=test; may be repeated.",
        metavar="COLUMN=VALUE",
        show_default=False,
    ),
]


def session_options(
    *,
    provider: Provider = Provider.CPU,
    provider_option: Sequence[str] | None = None,
    allow_fallback: bool = False,
    require: Sequence[str] | None = None,
    fix_shapes: str | None = None,
    threads: int = 0,
) -> "SessionOptions":
    """Session options from what was typed.

    Raises:
        typer.BadParameter: A text that is not KEY=VALUE, or a value that is no number.
    """
    from toolkit.runtime import SessionOptions

    return SessionOptions(
        provider=provider,
        provider_options=pairs(provider_option, option="--provider-option"),
        allow_fallback=allow_fallback,
        require=_numbers(require, float, option="--require", form="PROVIDER=SHARE"),
        fix_shapes=_numbers(
            [part for part in (fix_shapes or "").split(",") if part.strip()],
            int,
            option="--fix-shapes",
            form="NAME=SIZE",
        ),
        threads=threads,
    )


def _numbers(
    typed: Sequence[str] | None, number: Callable[[str], Number], *, option: str, form: str
) -> Mapping[str, Number]:
    found: dict[str, Number] = {}
    for key, value in pairs(typed, option=option, form=form).items():
        try:
            found[key] = number(value)
        except ValueError as error:
            raise typer.BadParameter(f"{value!r} is no number", param_hint=option) from error
    return found


def pairs(
    typed: Sequence[str] | None, *, option: str, form: str = "KEY=VALUE"
) -> Mapping[str, str]:
    """KEY=VALUE texts as a mapping; `form` is what --help calls them.

    Raises:
        typer.BadParameter: A text is not KEY=VALUE, or a key stands twice with different values.
    """
    found: dict[str, str] = {}
    for text in typed or ():
        key, equals, value = text.partition("=")
        key, value = key.strip(), value.strip()
        if not (key and equals):
            raise typer.BadParameter(f"{text!r} is not {form}", param_hint=option)
        if found.setdefault(key, value) != value:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint=option)
    return found


def sample_options(
    *, text_column: str, label_column: str, where: Sequence[str] | None
) -> "SampleOptions":
    """How to read a data file, from what was typed."""
    from toolkit.evaluate.samples import SampleOptions

    return SampleOptions(
        text_column=text_column,
        label_column=label_column,
        where=pairs(where, option="--where"),
    )
