"""Texts made token by token: sampling, stopping, streaming, and the loop. Torch-free."""

from toolkit.generation.loop import Answer, Decoder, Ending, LogitRule, generate
from toolkit.generation.options import GenerationOptions

__all__ = [
    "Answer",
    "Decoder",
    "Ending",
    "GenerationOptions",
    "LogitRule",
    "generate",
]
