"""What libraries say and load when they are imported, and nobody asked."""

import logging

_TORCHAO = ("torchao", "torch.utils._pytree")


def silence_torchao() -> None:
    """Keep torchao from warning of GPU kernels that it cannot load.

    Call it before anything that may import transformers, which imports torchao wherever it is
    installed; torchao 0.18 with torch 2.13 then logs four lines to stderr.
    """
    for name in _TORCHAO:
        logging.getLogger(name).setLevel(logging.ERROR)


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
