"""The options of `toolkit infer` for models that make texts token by token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from toolkit.generation import GenerationOptions

PromptOption = Annotated[
    list[str] | None,
    typer.Option(help="A text to continue or to answer; may be repeated.", metavar="TEXT"),
]
MaxNewTokensOption = Annotated[
    int | None, typer.Option(help="Most tokens of a text that is made.", show_default="128")
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        help="Draw the next token, from logits divided by this; 0 takes the likeliest.",
        show_default="0",
    ),
]
TopPOption = Annotated[
    float | None,
    typer.Option(
        help="Draw among the likeliest tokens whose probabilities sum to this.", show_default="1"
    ),
]
RepetitionPenaltyOption = Annotated[
    float | None,
    typer.Option(help="Above 1, tokens that were there come less often.", show_default="1"),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option(help="A text that ends the answer and is no part of it.", metavar="TEXT"),
]
DrawSeedOption = Annotated[
    int | None, typer.Option(help="Seed of the tokens that are drawn.", show_default="0")
]
ChatOption = Annotated[
    bool, typer.Option("--chat", help="Put the prompt into the form of the model's conversations.")
]


def generation_options(
    *, stop: Sequence[str] | None, chat: bool, **numbers: float | None
) -> "GenerationOptions | None":
    """Generation options from what was typed; none where nothing was.

    Raises:
        InputError: A value is out of its range.
    """
    named = {name: value for name, value in numbers.items() if value is not None}
    if not (named or stop or chat):
        return None
    from toolkit.generation import GenerationOptions

    return GenerationOptions(stop=tuple(stop or ()), chat=chat, **named)  # type: ignore[arg-type]  # by name
