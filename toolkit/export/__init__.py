"""From a run directory, an `nn.Module` or an `.onnx` file to a package with one verified variant.

Importing this package loads neither torch nor onnx; exporting does.
"""

from toolkit.export.comparison import ExportParity
from toolkit.export.sources import Exportable
from toolkit.export.step import ExporterName, ExportReport, export

__all__ = ["ExportParity", "ExportReport", "Exportable", "ExporterName", "export"]
