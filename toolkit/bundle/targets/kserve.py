"""An InferenceService for KServe, over the model repository that Triton's runtime loads."""

import math
from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.apps import write_app
from toolkit.bundle.job import Job, Target
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.repository import repository_notes, write_repository
from toolkit.bundle.serving import served_name
from toolkit.bundle.sizes import REPOSITORY_FOLDER
from toolkit.bundle.testing import run_with_this_python

COMMAND = "python self_test.py"
_GIB = 1 << 30
_COPIES = 4
"""The file, the weights in memory, packed weights, and activations."""


def memory_gib(model_bytes: int) -> int:
    """Memory that the container asks for: Triton's own, and some copies of the weights.

    Args:
        model_bytes: Of the graph with its weights.
    """
    return 1 + math.ceil(_COPIES * model_bytes / _GIB)


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the manifest beside Triton's repository."""
    runtime = write_repository(job, folder)
    place = folder / REPOSITORY_FOLDER
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    values = {
        "model": job.model,
        "name": served_name(job.model),
        "memory": memory_gib(size),
    }
    write_app("kserve", folder, values)
    return runtime


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Check the manifest, and run the repository's own graph with this interpreter."""
    return run_with_this_python(
        ["self_test.py"], folder, shown=COMMAND, timeout_s=job.options.timeout_s
    )


def notes(job: Job) -> Sequence[str]:
    """What was not done here, and what the user must set."""
    return (
        "inferenceservice.yaml has no storageUri yet: python manifest.py --storage-uri URI sets it",
        *repository_notes(job),
    )


TARGET = Target(
    name="kserve",
    about="an InferenceService for KServe with Triton's runtime",
    write=write,
    self_test=self_test,
    command=COMMAND,
    notes=notes,
)
