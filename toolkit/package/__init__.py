"""The model package on disk; no other module knows its layout."""

from toolkit.package.format import Contents, Source
from toolkit.package.package import SUFFIX, ModelPackage, Variant, is_bare
from toolkit.package.tuned import Split

__all__ = ["SUFFIX", "Contents", "ModelPackage", "Source", "Split", "Variant", "is_bare"]
