"""What is in a package or an `.onnx` file, and what each provider here takes of it."""

from toolkit.inspection.inspect import Inspection, PackageView, ProviderShare, inspect_model

__all__ = ["Inspection", "PackageView", "ProviderShare", "inspect_model"]
