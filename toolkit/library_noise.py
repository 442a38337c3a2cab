"""What libraries say of themselves when they are imported, and nobody asked."""

import logging

_TORCHAO = ("torchao", "torch.utils._pytree")


def silence_torchao() -> None:
    """Keep torchao from warning of GPU kernels that it cannot load.

    Call it before anything that may import transformers, which imports torchao wherever it is
    installed; torchao 0.18 with torch 2.13 then logs four lines to stderr.
    """
    for name in _TORCHAO:
        logging.getLogger(name).setLevel(logging.ERROR)
