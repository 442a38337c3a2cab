"""From a package to what one device or app needs, with the self-test that proves it there."""

from toolkit.bundle.job import BundleOptions, Job
from toolkit.bundle.report import BundleReport, Part
from toolkit.bundle.step import bundle

__all__ = ["BundleOptions", "BundleReport", "Job", "Part", "bundle"]
