"""float16 for the CPU: half the size, and rarely faster."""

from pathlib import Path

from toolkit.optimize.rewriters import FLOAT16, RewriterError
from toolkit.quantize.context import Context, QuantizerError
from toolkit.runtime import Provider


def quantize_half(model: Path, target: Path, context: Context) -> int:
    """Write a copy of a model in float16 whose inputs and outputs stay float32.

    Args:
        model: The float32 model.
        target: Where the float16 one is written.
        context: No node can be kept: the converter has no way to.

    Returns:
        How many nodes the graph has more or fewer of a kind.

    Raises:
        QuantizerError: The converter gave up on the graph, or nodes are to be kept.
    """
    if context.keep:
        raise QuantizerError("it keeps no single node in float32")
    try:
        return FLOAT16.apply(model, target, Provider.CPU)
    except RewriterError as error:
        raise QuantizerError(str(error)) from error
