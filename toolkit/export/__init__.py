"""From a run directory, an `nn.Module` or an `.onnx` file to a package with one verified variant.

Importing this package loads neither torch nor onnx; exporting does.
"""

from toolkit.export.checkpoint.files import CheckpointOptions
from toolkit.export.comparison import ExportParity
from toolkit.export.parts import ExporterName
from toolkit.export.sources import Exportable
from toolkit.export.step import ExportReport, export

__all__ = [
    "CheckpointOptions",
    "ExportParity",
    "ExportReport",
    "Exportable",
    "ExporterName",
    "export",
]
