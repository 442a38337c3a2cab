"""A model repository for NVIDIA's Triton inference server, and a client for it."""

from pathlib import Path

from toolkit.bundle.job import Job, Target
from toolkit.bundle.report import SelfTestReport
from toolkit.bundle.repository import repository_notes, write_repository
from toolkit.bundle.testing import run_with_this_python

COMMAND = "python self_test.py"


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Run the repository's own graph as Triton's backend would, with this interpreter."""
    return run_with_this_python(
        ["self_test.py"], folder, shown=COMMAND, timeout_s=job.options.timeout_s
    )


TARGET = Target(
    name="triton",
    about="a model repository for Triton, and a client",
    write=write_repository,
    self_test=self_test,
    command=COMMAND,
    notes=repository_notes,
)
