"""The program `toolkit`: its commands, and how failures end it."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from toolkit import __version__
from toolkit.cli import output
from toolkit.cli.start import INTERRUPTED
from toolkit.errors import ToolkitError, ToolkitWarning

COMMANDS = (
    "train",
    "export",
    "optimize",
    "quantize",
    "compile",
    "bundle",
    "verify",
    "validate",
    "evaluate",
    "infer",
    "profile",
    "inspect",
    "doctor",
    "demo",
)
"""Each is the function of its name in the module of its name."""


def application(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The program with these commands.

    Typer inspects every option of every command at each start, so that a process that runs one
    command builds just this one.
    """
    app = typer.Typer(
        name="toolkit",
        help=(
            "From a PyTorch model to a verified, quantized ONNX model package, and onto the device."
        ),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # importing rich costs more than the rest of `toolkit --help`
    )
    app.callback()(_options)
    for name in commands:
        app.command(name)(getattr(import_module(f"toolkit.cli.{name}"), name))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        output.show_text(f"toolkit {__version__}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None, *, interrupts: Sequence[int] = ()) -> int:
    """Run a command.

    Args:
        arguments: What was typed after `toolkit`; the process's own when not given.
        interrupts: Grows by one with each Ctrl-C: a library that was being imported may have
            caught it, and fails for want of what it left undone.

    Returns:
        The exit code: 0 done, 2 typed wrongly, 3 the input is not usable, 4 this machine lacks
        something, 5 a limit was missed, 130 interrupted. A bug of ours raises, which ends the
        process with 1.
    """
    typed = sys.argv[1:] if arguments is None else [*arguments]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ToolkitWarning)
        try:
            app = application([typed[0]] if typed and typed[0] in COMMANDS else COMMANDS)
            app(args=typed, prog_name="toolkit")
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
            return _interrupted() if code == 130 else code
        except KeyboardInterrupt:
            return _interrupted()
        except ToolkitError as error:
            told = error.exit_code == 130  # it says what was done until then
            return _interrupted() if interrupts and not told else output.show_error(error)
        except OSError as error:
            return _interrupted() if interrupts else output.show_os_error(error)
    return 0


def _interrupted() -> int:
    output.say(INTERRUPTED)
    return 130


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    output.say(f"warning: {message}")
