"""The model package on disk; no other module knows its layout."""

from toolkit.package.format import Contents, Signature, Source
from toolkit.package.package import SUFFIX, ModelPackage, Variant, is_bare, refuse_component
from toolkit.package.tuned import Split

__all__ = [
    "SUFFIX",
    "Contents",
    "ModelPackage",
    "Signature",
    "Source",
    "Split",
    "Variant",
    "is_bare",
    "refuse_component",
]
