"""The model package on disk; no other module knows its layout."""

from toolkit.package.format import Contents, Signature, Source
from toolkit.package.package import SUFFIX, ModelPackage, Variant, refuse_component

__all__ = [
    "SUFFIX",
    "Contents",
    "ModelPackage",
    "Signature",
    "Source",
    "Variant",
    "refuse_component",
]
