"""PyTorch Lightning without its noise, and with a Ctrl-C that stays one."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.library_noise import less_logged


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's banners, tips and advice on data loaders."""
    with less_logged("pytorch_lightning", "lightning_fabric"), warnings.catch_warnings():
        for advice in _ADVICE:
            warnings.filterwarnings("ignore", message=advice)
        yield


_ADVICE = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*GPU available but not used.*",
    ".*LeafSpec.* is deprecated.*",  # Lightning 2.6 with torch 2.13; drop when the pin moves
)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lightning 2.6 turns Ctrl-C into `sys.exit(1)` and ignores SIGINT from then on."""
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from error
