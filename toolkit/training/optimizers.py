"""Optimizers and schedules by the names of the settings."""

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


def make_optimizer(module: nn.Module, settings: Settings) -> Optimizer:
    """The optimizer; `l2` falls on parameters of two dimensions or more."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.l2},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    if settings.optimizer == "adam":
        return Adam(groups, lr=settings.learning_rate)
    return AdamW(groups, lr=settings.learning_rate)


def make_schedule(optimizer: Optimizer, settings: Settings) -> Schedule:
    """The schedule, which is stepped once an epoch."""
    if settings.schedule == "exponential":
        return ExponentialLR(optimizer, gamma=settings.decay)
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=settings.max_epochs)
    if settings.schedule == "reduce-on-plateau":
        return ReduceLROnPlateau(optimizer, factor=settings.decay, patience=settings.plateau_epochs)
    return LambdaLR(optimizer, _unchanged)


def _unchanged(_epoch: int) -> float:
    return 1.0
