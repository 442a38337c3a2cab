"""Rewrites of a graph that keep what it computes, each a function from a model to a count."""

from toolkit.optimize.additions import separate_additions
from toolkit.optimize.attention import fuse_attention
from toolkit.optimize.first_token import select_rows_early
from toolkit.optimize.guards import remove_nan_guards
from toolkit.optimize.kernels import (
    load_with_shapes,
    optimize_for_cpu,
    optimize_standard,
    with_shapes,
)
from toolkit.optimize.masked import split_masked_attention

__all__ = [
    "fuse_attention",
    "load_with_shapes",
    "optimize_for_cpu",
    "optimize_standard",
    "remove_nan_guards",
    "select_rows_early",
    "separate_additions",
    "split_masked_attention",
    "with_shapes",
]
