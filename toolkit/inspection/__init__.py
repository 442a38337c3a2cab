"""What is in a package or an `.onnx` file, and what each provider takes or would take of it."""

from toolkit.inspection.coverage import Prediction
from toolkit.inspection.inspect import Inspection, PackageView, ProviderShare, inspect_model

__all__ = [
    "Inspection",
    "PackageView",
    "Prediction",
    "ProviderShare",
    "inspect_model",
]
