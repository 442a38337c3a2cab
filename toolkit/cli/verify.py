"""`toolkit verify`."""

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import output
from toolkit.cli.options import JsonOption


def verify(
    folder: Annotated[
        Path, typer.Argument(help="A signed bundle.", metavar="DIR", show_default=False)
    ],
    key: Annotated[
        Path,
        typer.Option(
            "--key",
            help="Public key (PEM) of whoever signed it: openssl ec -in private.pem -pubout -out "
            "public.pem",
            show_default=False,
        ),
    ],
    json_output: JsonOption = False,
) -> None:
    """Check a bundle's signature: every file as it was signed with the key, and none beside."""
    from toolkit.bundle import signing

    report = signing.verify(folder, key=key)
    if json_output:
        output.show_json(dict(report.as_json()))
        return
    output.show_text(
        f"{report.path} is as it was signed: {len(report.files)} files, "
        f"key {report.key_sha256[:16]} ({key})"
    )
