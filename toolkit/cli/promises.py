"""Which limits of `toolkit quantize` are read: one that nothing reads is refused."""

from pathlib import Path

import typer


def check_read(
    source: Path, *, labeled: bool, max_drop: float | None, max_perplexity_rise: float | None
) -> None:
    """Refuse a limit that was typed and would be ignored.

    Args:
        source: The package or bare file.
        labeled: Whether labels are looked at.
        max_drop: As typed, if it was.
        max_perplexity_rise: As typed, if it was.

    Raises:
        typer.BadParameter: There is no metric that could drop, or no perplexity that could rise.
        InputError: The source is no package.
    """
    if max_drop is None and max_perplexity_rise is None:
        return
    is_language = _is_language(source)
    if max_drop is not None and is_language:
        raise typer.BadParameter(
            "a language model is held to --max-perplexity-rise", param_hint="--max-drop"
        )
    if max_drop is not None and not labeled:
        raise typer.BadParameter(
            "without labels no metric is measured; --min-agreement and --min-sqnr are the limits",
            param_hint="--max-drop",
        )
    if max_perplexity_rise is not None and not is_language:
        raise typer.BadParameter(
            "only a language model has a perplexity", param_hint="--max-perplexity-rise"
        )


def _is_language(source: Path) -> bool:
    from toolkit.package import ModelPackage, is_bare

    if is_bare(source):
        return False
    return ModelPackage.open(source).contents.task.name == "text-generation"
