"""`toolkit infer`."""

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import output
from toolkit.cli.generation import (
    ChatOption,
    DrawSeedOption,
    MaxNewTokensOption,
    PromptOption,
    RepetitionPenaltyOption,
    StopOption,
    TemperatureOption,
    TopPOption,
    generation_options,
)
from toolkit.cli.options import (
    AllowFallbackOption,
    FixShapesOption,
    ForceOption,
    JsonOption,
    OutputOption,
    ProviderOption,
    ProviderOptionOption,
    RequireOption,
    SourceArgument,
    ThreadsOption,
    VariantOption,
    pairs,
    session_options,
)
from toolkit.runtime.providers import Provider


def infer(
    source: SourceArgument,
    items: Annotated[
        list[str] | None,
        typer.Argument(
            help="Texts, rows or questions as JSON objects, image or audio files, by task; - reads "
            "lines of stdin.",
            metavar="[TEXT...]",
            show_default=False,
        ),
    ] = None,
    lines: Annotated[
        Path | None, typer.Option("--lines", help="One text a line; - is stdin.")
    ] = None,
    jsonl: Annotated[
        Path | None,
        typer.Option("--jsonl", help="One JSON text, pair, question or row a line; - is stdin."),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="One row a line, with a head; - is stdin.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="A tensor from a .npy, .npz, .json, .png or .jpg file, sound from a .wav or .flac "
            "file; once an input.",
            metavar="NAME=FILE",
        ),
    ] = None,
    allow_non_finite: Annotated[
        bool, typer.Option("--allow-non-finite", help="Let NaN and infinities into the model.")
    ] = False,
    truncate: Annotated[
        bool,
        typer.Option(
            "--truncate/--no-truncate",
            help="Cut a text that is longer than the model's positions; an error otherwise.",
        ),
    ] = True,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Fills for each mask of a text; tokens to draw among when text is made.",
            show_default="5 fills; all tokens",
        ),
    ] = None,
    no_answer: Annotated[
        bool,
        typer.Option("--no-answer", help="Let a question have no answer in its context."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Probability above which a detected object counts.",
            show_default="the package's, 0.5",
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Intersection over union above which two boxes of one label are one object.",
            show_default="the package's, 0.7",
        ),
    ] = None,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            help="What a picture may show, for zero-shot classification; once a label.",
            metavar="LABEL",
        ),
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            help="Language that is spoken, such as de; detected when not given.",
            show_default=False,
        ),
    ] = "",
    translate: Annotated[
        bool, typer.Option("--translate", help="Write what is said in English.")
    ] = False,
    prompt: PromptOption = None,
    max_new_tokens: MaxNewTokensOption = None,
    temperature: TemperatureOption = None,
    top_p: TopPOption = None,
    repetition_penalty: RepetitionPenaltyOption = None,
    stop: StopOption = None,
    seed: DrawSeedOption = None,
    chat: ChatOption = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most rows in one run.", show_default="what --tune found here, or 32"
        ),
    ] = None,
    target: OutputOption = None,
    force: ForceOption = False,
    variant: VariantOption = None,
    provider: ProviderOption = Provider.CPU,
    provider_option: ProviderOptionOption = None,
    allow_fallback: AllowFallbackOption = False,
    require: RequireOption = None,
    fix_shapes: FixShapesOption = None,
    threads: ThreadsOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Run a package, or a bare .onnx file, on text or tensors."""
    from toolkit import answering
    from toolkit.runtime.placement import placement_text
    from toolkit.tasks import TaskOptions

    tensors = pairs(inputs, option="--input", form="NAME=FILE")
    generation = generation_options(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k if prompt or temperature is not None else None,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        stop=stop,
        seed=seed,
        chat=chat,
    )
    report = answering.infer(
        source,
        variant=variant,
        options=session_options(
            provider=provider,
            provider_option=provider_option,
            allow_fallback=allow_fallback,
            require=require,
            fix_shapes=fix_shapes,
            threads=threads,
        ),
        asked=answering.Asked(
            texts=(*(items or ()), *(prompt or ())),
            lines=lines,
            jsonl=jsonl,
            csv=csv,
            tensors={name: Path(file) for name, file in tensors.items()},
        ),
        reading=TaskOptions(
            truncate=truncate,
            top_k=top_k or 5,
            no_answer=no_answer,
            threshold=threshold,
            overlap=overlap,
            candidates=tuple(candidate or ()),
            language=language,
            translate=translate,
        ),
        generation=generation,
        stream=output.stream if target is None and not json_output else None,
        batch_size=batch_size,
        allow_non_finite=allow_non_finite,
        output=target,
        force=force,
    )
    if report.elsewhere:
        output.say(placement_text(report.provider, report.placement, report.elsewhere))
    if report.replaced:
        output.say(f"replaced {target}")
    if json_output:
        output.show_json(report.as_json())
    elif target is None:
        output.show_text("" if report.streamed else report.as_text())
