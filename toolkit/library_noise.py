"""What libraries say and load when they are imported, and nobody asked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def less_logged(*names: str, below: int = logging.ERROR) -> Iterator[None]:
    """Without what these loggers say below a level; they are as before afterwards.

    Args:
        names: Of the loggers; one that has a level of its own is not reached by its parent's name.
        below: A level of `logging`.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(below)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_torchao() -> Iterator[None]:
    """Keep torchao from warning of GPU kernels that it cannot load.

    Put it around whatever may import transformers, which imports torchao wherever it is installed;
    torchao 0.18 with torch 2.13 then logs four lines to stderr.
    """
    with less_logged("torchao", "torch.utils._pytree"):
        yield


def without_torchao() -> None:
    """Tell transformers that torchao is not installed; importing it takes it 1.7 s.

    Call it before anything that imports transformers' model classes. transformers (5.23) needs
    torchao for checkpoints that torchao quantized, which no exporter takes.
    """
    from transformers import utils
    from transformers.utils import import_utils

    for module in (utils, import_utils):
        setattr(module, "is_torchao_available", _not_available)  # noqa: B010 - mypy: not exported


def _not_available(*_versions: str) -> bool:
    return False
