"""What a checkpoint is for, as its configuration says."""

from collections.abc import Mapping
from typing import Any

from toolkit.errors import InputError
from toolkit.tasks import TaskName

HEADS: Mapping[TaskName, str] = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "text-to-text": "AutoModelForSeq2SeqLM",  # before fill-mask: BART is listed there too
    "fill-mask": "AutoModelForMaskedLM",
    "text-generation": "AutoModelForCausalLM",
    "image-classification": "AutoModelForImageClassification",
    "object-detection": "AutoModelForObjectDetection",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "speech-recognition": "AutoModelForSpeechSeq2Seq",
    "feature-extraction": "AutoModel",
}
"""The class of transformers that loads a model with the task's head."""

_ALSO: Mapping[TaskName, tuple[str, ...]] = {"speech-recognition": ("AutoModelForCTC",)}
"""Further classes with the same task."""

_ALIKE: set[TaskName | None] = {"text-classification", "token-classification"}
"""Tasks whose heads have weights of the same names in most architectures."""


def classes_of(task: TaskName) -> tuple[str, ...]:
    """The automatic classes that load the task's models."""
    return (HEADS[task], *_ALSO.get(task, ()))


def task_of(
    config: Any, *, asked: TaskName | None, named_in: str, otherwise: TaskName | None = None
) -> TaskName:
    """The task of a checkpoint.

    Args:
        config: transformers' configuration object.
        asked: What the user asked for, which goes first.
        named_in: The file, for messages.
        otherwise: What it is for where the configuration does not say, if it has such a head.

    Raises:
        InputError: The configuration names no architecture or one without a task of ours, or the
            model has no head for the task that was asked for.
    """
    possible = [task for task in HEADS if _class_names(config, task)]
    named = getattr(config, "architectures", None) or ()
    trained = next((t for name in named for t in HEADS if name in _class_names(config, t)), None)
    if asked is not None:
        if {asked, trained} == _ALIKE:
            raise InputError(
                f"{named_in}: the head of {', '.join(named)} was trained for {trained}, and would "
                f"be taken for one of {asked}, whose weights have the same names",
                expected=f"a checkpoint that was trained for {asked}",
                fix=f"--task {trained}",
            )
        if asked in possible:
            return asked
        raise InputError(
            f"{named_in}: {config.model_type} has no head for {asked!r}",
            expected=f"one of {', '.join(possible) or 'no task of ours'}",
        )
    if trained is not None:
        return trained
    if otherwise in possible:
        return otherwise
    raise InputError(
        f"{named_in} does not say what the model is for: architectures is "
        f"{getattr(config, 'architectures', None)}",
        expected=f"an architecture with one of the tasks {', '.join(HEADS)}",
        fix=f"--task {possible[0]}" if possible else "",
    )


def _class_names(config: Any, task: TaskName) -> list[str]:
    """The model classes with the task's head for this configuration."""
    import transformers

    names: list[str] = []
    for automatic in classes_of(task):
        mapping = getattr(transformers, automatic)._model_mapping  # noqa: SLF001 - no public way
        found = mapping.get(type(config), None)
        listed = found if isinstance(found, (tuple, list)) else [found] if found else []
        names.extend(model.__name__ for model in listed)
    return names
