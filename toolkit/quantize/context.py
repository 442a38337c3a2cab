"""What a method is, and what it is told beside the graph."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolkit.errors import ToolkitError
from toolkit.quantize.budget import OutOfTimeError
from toolkit.quantize.calibration import Calibration

InstructionSet = Literal["native", "portable"]
"""Whose integer products the variant is for: this machine's, or those of any processor, among them
the ones whose 16-bit sums saturate (AVX2 without VNNI)."""

Grain = Literal["none", "row", "tensor"]
"""What shares a scale among the activations that a product reads; "none" where they stay float."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a method is told beside the graph.

    Attributes:
        calibration: Feeds of the user's data; None where there is none.
        keep: Names of nodes that stay in float, as the graph that the method gets calls them.
        instruction_set: Whose integer products the variant is for.
        without_config: No session configuration goes with the variant, as none goes with a bare
            file: constants must be what ONNX Runtime folds by itself.
    """

    calibration: Calibration | None = None
    keep: frozenset[str] = frozenset()
    instruction_set: InstructionSet = "native"
    without_config: bool = False

    @property
    def data(self) -> Calibration:
        """The calibration set.

        Raises:
            QuantizerError: There is none.
        """
        if self.calibration is None:
            raise QuantizerError("it needs calibration data")
        return self.calibration

    @property
    def is_portable(self) -> bool:
        """Whether weights must leave room for sums that saturate."""
        return self.instruction_set == "portable"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to quantize.

    Attributes:
        name: How reports call it.
        summary: What it does, in a line.
        precision: The variant's precision.
        apply: Writes the quantized model of a float one (model, target, context) and returns how
            many nodes or weights it changed; may raise QuantizerError.
        rank: The search goes from the lowest to the highest: cheap and promising ones first.
        needs_data: Whether it measures on the calibration set.
        by_default: Whether it is tried where no method is named.
        grain: What shares a scale among activations, for measuring which nodes are sensitive.
        bits: Bits of a weight, for the same.
        keeps_nodes: Whether it can leave single nodes in float.
        reads_bodies: Whether it also quantizes weights inside If, Loop and Scan.
        session_options: ONNX Runtime session configuration that the variant needs.
    """

    name: str
    summary: str
    precision: str
    apply: Callable[[Path, Path, Context], int]
    rank: int
    needs_data: bool = False
    by_default: bool = True
    grain: Grain = "none"
    bits: int = 8
    keeps_nodes: bool = True
    reads_bodies: bool = False
    session_options: Mapping[str, str] = field(default_factory=dict)


class QuantizerError(Exception):
    """A quantizer gave up on a graph; the search goes on without its candidate."""


@contextlib.contextmanager
def quieted() -> Iterator[None]:
    """Contain what libraries say: logs, warnings, and prints on stdout, where the result goes."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Contain onnxruntime's quantizers: what they say, and exceptions of any kind.

    Raises:
        QuantizerError: Whatever was raised inside, but for failures of the file system and our own.
    """
    try:
        with quieted():
            yield
    except (OSError, OutOfTimeError, QuantizerError, ToolkitError):  # are nothing of the graph's
        raise
    except ImportError as error:
        raise QuantizerError(f"it needs {error.name}, which is not installed") from error
    except Exception as error:
        raise QuantizerError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
