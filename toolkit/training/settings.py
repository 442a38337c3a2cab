"""The named settings of a recipe."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from toolkit.errors import InputError

NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, lt=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained. A recipe with settings of its own derives from this class.

    Attributes:
        optimizer: "sgd" (with momentum), "adam" or "adamw".
        momentum: Of SGD; the other optimizers have none.
        learning_rate: At the start.
        schedule: "constant"; "exponential" (times `decay` after every epoch); "cosine" (down to
            zero over `max_epochs`); "reduce-on-plateau" (times `decay` when the validation loss
            has not fallen for more than `plateau_epochs`); "linear" (a little with every step, up
            over `warmup` and then down to zero over `max_epochs`), as transformers are tuned.
        warmup: Share of all steps in which the linear schedule climbs to `learning_rate`.
        decay: Factor of the exponential and the plateau schedule.
        plateau_epochs: Epochs without a lower validation loss that the plateau schedule bears.
        batch_size: Rows a step.
        max_epochs: Passes over the training split.
        patience: Epochs without a lower validation loss before training stops; 0 never stops. The
            weights kept are those of the lowest validation loss either way.
        l1: Factor of the sum of absolute weights, added to the loss.
        l2: L2 penalty: `l2 * w` is added to the gradient; with AdamW, decoupled weight decay.
            Neither penalty touches biases and other one-dimensional parameters.
        dropout: Probability of the model's `torch.nn.Dropout` layers.
        gradient_clip: Largest norm of the gradient; 0 clips nothing.
        average: Share that an exponential moving average of the weights keeps at every step, such
            as 0.99; validation measures the average and the run keeps it. 0 averages nothing.
        folds: k of k-fold cross-validation on the training split, before the final model is
            trained on the whole of it; 0 for none.
        seed: Decides initial weights, order of rows, dropout, augmentation and folds.
        qat_epochs: Epochs of quantization-aware training, which `toolkit train --qat` adds.
        qat_rate: Its learning rate, as a share of `learning_rate`.
        threads: Of torch on the CPU; 0 leaves the choice to torch. Sums come out differently with
            another number of threads, so a fixed one makes results repeat on other machines of
            the kind; and small models gain little from two threads, but lose much when another
            program wants one of the cores.
        accelerator: "cpu", "gpu", or "auto" for the GPU where there is one. Runs repeat bit for
            bit on one machine's CPU; a GPU promises less.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    momentum: Fraction = 0.9
    learning_rate: Annotated[float, Meta(gt=0)] = 1e-3
    schedule: Literal["constant", "exponential", "cosine", "reduce-on-plateau", "linear"] = (
        "constant"
    )
    warmup: Fraction = 0.0
    decay: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    plateau_epochs: Annotated[int, Meta(ge=0)] = 2
    batch_size: Annotated[int, Meta(ge=1)] = 32
    max_epochs: Annotated[int, Meta(ge=1)] = 20
    patience: Annotated[int, Meta(ge=0)] = 0
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0
    dropout: Fraction = 0.0
    gradient_clip: NotNegative = 0.0
    average: Fraction = 0.0
    folds: Annotated[int, Meta(ge=0)] = 0
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    qat_epochs: Annotated[int, Meta(ge=1)] = 3
    qat_rate: Annotated[float, Meta(gt=0)] = 0.1
    threads: Annotated[int, Meta(ge=0)] = 0
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"


AnySettings = TypeVar("AnySettings", bound=Settings)


def with_overrides(settings: AnySettings, overrides: Mapping[str, object]) -> AnySettings:
    """Checked settings with some values replaced; text is converted ("0.1", "true") first.

    Raises:
        InputError: An unknown setting, or a value of the wrong type or range.
    """
    kind = type(settings)
    values = msgspec.to_builtins(settings)
    for name in overrides:
        if name not in values:
            raise InputError(
                f"there is no setting {name!r}", expected=f"one of {', '.join(sorted(values))}"
            )
    try:
        checked = msgspec.convert(values | dict(overrides), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(kind, str(error), values | dict(overrides)) from error
    if checked.folds == 1:
        raise InputError("setting 'folds' is 1", expected="0 for none, or at least 2")
    return checked


def _refusal(kind: type[Settings], message: str, values: Mapping[str, object]) -> InputError:
    """The error behind msgspec's "Expected `float` > 0.0 - at `$.learning_rate`"."""
    expected, _, place = message.partition(" - at `$.")
    name = place.rstrip("`")
    choices = get_args(get_type_hints(kind).get(name))
    if choices and all(isinstance(choice, str) for choice in choices):
        expected = f"one of {', '.join(choices)}"
    return InputError(
        f"setting {name!r} is {values.get(name)!r}", expected=expected.removeprefix("Expected ")
    )
