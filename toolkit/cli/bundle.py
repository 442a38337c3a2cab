"""`toolkit bundle`."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.bundle.targets import NAMES
from toolkit.cli import output
from toolkit.cli.options import (
    FixShapesOption,
    ForceOption,
    JsonOption,
    PackageArgument,
    QuietOption,
    VariantOption,
    session_options,
)

if TYPE_CHECKING:
    from toolkit.bundle import BundleReport

_Target = StrEnum("_Target", {name.upper(): name for name in NAMES})  # type: ignore[misc]
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}


class _Architecture(StrEnum):
    X86_64 = "x86_64"
    ARM64 = "arm64"


def _bytes(text: str) -> int:
    for unit, factor in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text:
            try:
                count = float(number) * factor
            except ValueError:
                break
            if 0 < count < float("inf"):
                return int(count)
            break
    raise typer.BadParameter(f"{text!r} is no size; expected one such as 25MB, 800kB or 2GB")


def bundle(
    package: PackageArgument,
    target: Annotated[_Target, typer.Option("--target", help="What the bundle is for.")],
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="The folder to write.", show_default=False)
    ],
    variant: VariantOption = None,
    fix_shapes: FixShapesOption = None,
    max_size: Annotated[
        int | None,
        typer.Option(
            "--max-size",
            parser=_bytes,
            metavar="SIZE",
            help="Most that the bundle's files may have, such as 25MB.",
            show_default="any size",
        ),
    ] = None,
    arch: Annotated[
        _Architecture | None,
        typer.Option(
            "--arch",
            help="Processor of the device, where native code runs; another than this machine's is "
            "tested under qemu.",
            show_default="this machine's",
        ),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="The target's runtime. c: its shared library or wheel; python (another processor) "
            "and docker: a folder of wheels; web and node: node_modules; android: an .aar; ios: an "
            ".xcframework.",
            show_default="what is installed here",
        ),
    ] = None,
    sysroot: Annotated[
        Path | None,
        typer.Option(
            help="Root file system of the device's architecture, for qemu.", show_default=False
        ),
    ] = None,
    trim: Annotated[
        Path | None,
        typer.Option(
            help="Texts, one a line or as .csv or .jsonl: of the vocabulary keep only the tokens "
            "that occur in them.",
            show_default=False,
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            help="Sign the bundle with this private key (PEM, elliptic curve): openssl ecparam "
            "-name prime256v1 -genkey -noout -out private.pem",
            show_default=False,
        ),
    ] = None,
    sign_password: Annotated[
        str,
        typer.Option(
            "--sign-password",
            envvar="TOOLKIT_SIGN_PASSWORD",
            help="Password of the private key; give it in the environment.",
            show_default=False,
        ),
    ] = "",
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test/--no-self-test",
            help="Run the bundle's self-test on its real runtime before it is kept.",
        ),
    ] = True,
    force: ForceOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write what one device or app needs of a package, with a self-test that proves it there."""
    from toolkit import bundle as step
    from toolkit.bundle import BundleOptions

    report = step(
        package,
        target=target.value,
        output=folder,
        variant=variant,
        options=BundleOptions(
            fix_shapes=session_options(fix_shapes=fix_shapes).fix_shapes,
            max_size_bytes=max_size,
            architecture="" if arch is None else arch.value,
            runtime=runtime,
            sysroot=sysroot,
            self_test=self_test,
            trim=trim,
            sign=sign,
            sign_password=sign_password,
        ),
        force=force,
        progress=output.progress(quiet=quiet),
    )
    if json_output:
        output.show_json(dict(report.as_json()))
    else:
        _show(report)


_SHOWN = 12


def _show(report: "BundleReport") -> None:
    sent = report.wire_bytes is not None
    columns = ["file", "part", "size", *(["gzip"] if sent else [])]
    rows = [
        [part.path, part.kind, output.size(part.size_bytes)]
        + (["" if part.wire_bytes is None else output.size(part.wire_bytes)] if sent else [])
        for part in report.parts[:_SHOWN]
    ]
    notes = []
    if len(report.parts) > _SHOWN:
        notes.append(f"and {len(report.parts) - _SHOWN} smaller files")
    total = output.size(report.size_bytes)
    wire = f", {output.size(report.wire_bytes)} over the wire" if report.wire_bytes else ""
    notes.append(f"{len(report.parts)} files, {total}{wire}")
    for one in report.runtime:
        size = "size not known here" if one.size_bytes is None else output.size(one.size_bytes)
        where = "in the bundle" if one.included else "beside it"
        notes.append(f"runtime: {one.name} {one.version}, {size}, {where}")
    test = report.self_test
    if test.ran:
        notes.append(
            f"self-test passed on {test.where}: {test.cases} cases, largest difference "
            f"{test.largest_difference:.2g} (limit {test.limit:.2g})"
        )
    else:
        notes.append(f"self-test {test.where}")
    notes += [*report.notes, f"cd {shlex.quote(str(report.path))} && {test.command}"]
    output.show_table(
        f"{report.variant} of {report.package.name} for {report.target}",
        columns,
        rows,
        note="\n".join(notes),
    )
