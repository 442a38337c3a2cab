"""Compiling ahead of time: variants that hold what a provider made of the graph for one chip."""

from toolkit.compiling.report import Compiled, CompileReport
from toolkit.compiling.step import compile  # noqa: A004 - the command's name

__all__ = ["CompileReport", "Compiled", "compile"]
