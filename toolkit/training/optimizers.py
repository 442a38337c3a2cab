"""Optimizers and schedules by the names of the settings."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    ReduceLROnPlateau,
)

from toolkit.training.settings import Settings

Schedule = LRScheduler | ReduceLROnPlateau


def make_optimizer(
    module: nn.Module, settings: Settings, rate: Callable[[str, Any], float] | None = None
) -> Optimizer:
    """The optimizer; `l2` falls on parameters of two dimensions or more.

    Args:
        module: Its parameters that learn are optimized.
        settings: Optimizer, rate and penalty.
        rate: Factor on the learning rate, from a parameter's name and the settings. The groups
            come in the order of their factors, the largest first.
    """
    members: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            factor = 1.0 if rate is None else rate(name, settings)
            members[factor, parameter.ndim > 1].append(parameter)
    groups = [
        {
            "params": members[factor, is_matrix],
            "lr": factor * settings.learning_rate,
            "weight_decay": settings.l2 if is_matrix else 0.0,
        }
        for factor, is_matrix in sorted(members, reverse=True)
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    if settings.optimizer == "adam":
        return Adam(groups, lr=settings.learning_rate)
    return AdamW(groups, lr=settings.learning_rate)


def make_schedule(optimizer: Optimizer, settings: Settings, steps: int) -> Schedule:
    """The schedule, which is stepped once an epoch; the linear one once a step.

    Args:
        optimizer: Its rates follow the schedule.
        settings: Which schedule, and its numbers.
        steps: Steps of the whole training.
    """
    if settings.schedule == "linear":
        warm = round(settings.warmup * steps)
        return LambdaLR(optimizer, partial(_up_and_down, warm=warm, steps=steps))
    if settings.schedule == "exponential":
        return ExponentialLR(optimizer, gamma=settings.decay)
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=settings.max_epochs)
    if settings.schedule == "reduce-on-plateau":
        return ReduceLROnPlateau(optimizer, factor=settings.decay, patience=settings.plateau_epochs)
    return LambdaLR(optimizer, _unchanged)


def _up_and_down(step: int, *, warm: int, steps: int) -> float:
    """Factor of the step with this number, from 0; it never is zero."""
    return (step + 1) / (warm + 1) if step < warm else (steps - step) / (steps - warm)


def _unchanged(_epoch: int) -> float:
    return 1.0
