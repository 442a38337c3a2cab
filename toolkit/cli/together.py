"""Which options of `toolkit profile` are read together: one that nothing reads is refused."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from toolkit.cli.comparison import Asked

_SHOWN = {"source", "json_output", "quiet", "html_report", "force"}
_SESSION = {
    *("variant", "provider", "provider_option", "allow_fallback", "require", "fix_shapes"),
    *("shape", "seed", "budget"),
}
_READ = {
    "--compare": {*_SHOWN, *_SESSION, "threads", "compare", "tolerance", "fail_if_slower"},
    "--tune": {*_SHOWN, *_SESSION, "tune"} - {"html_report", "force"},
    "--replay": {*_SHOWN, "replay", "baseline", "fail_if_slower"}
    | {"operators", "resources", "chrome_trace"},
    "--replay of a comparison": {*_SHOWN, "replay"},
}
"""Parameters of the command by what it does instead of a plain profile."""

_NEEDED = {
    "fail_if_slower": ("compare", "baseline"),
    "tolerance": ("compare",),
    "text_column": ("data",),
    "where": ("data",),
    "batch_tokens": ("data",),
    "force": ("html_report", "chrome_trace"),
}
"""Parameters that are read only beside one of others."""


def check_together(context: typer.Context, asked: "Asked") -> None:
    """Refuse what was typed and would be ignored.

    Raises:
        typer.BadParameter: An option is not read beside another, or not without one.
    """
    flags = {
        parameter.name: max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.name is not None
    }
    typed = [name for name in flags if _is_typed(context, name)]
    for name in typed:
        if asked.doing and name not in _READ[asked.doing]:
            raise typer.BadParameter(
                f"it cannot be asked for together with {asked.doing}, which does not read it",
                param_hint=flags[name],
            )
        needed = _NEEDED.get(name, ())
        if needed and not any(other in typed for other in needed):
            others = " or ".join(flags[other] for other in needed)
            raise typer.BadParameter(f"it needs {others}", param_hint=flags[name])


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
