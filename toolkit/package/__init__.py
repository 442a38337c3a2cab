"""The model package on disk; no other module knows its layout."""

from toolkit.package.format import Contents, Source
from toolkit.package.package import SUFFIX, ModelPackage, Variant, is_bare

__all__ = ["SUFFIX", "Contents", "ModelPackage", "Source", "Variant", "is_bare"]
