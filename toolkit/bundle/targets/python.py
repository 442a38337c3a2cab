"""A folder for Python: one file of code, on onnxruntime, numpy and, for texts, tokenizers."""

from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.apps import write_app
from toolkit.bundle.examples import python_example, takes_plain_text, typed
from toolkit.bundle.job import BundleOptions, Job, Target
from toolkit.bundle.qemu import check_arm64, needs_qemu, run_on_arm64
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.runtimes import installed
from toolkit.bundle.testing import run_with_this_python

COMMAND = "python app.py --self-test"
_LICENSES = {"onnxruntime": "MIT", "numpy": "BSD-3-Clause", "tokenizers": "Apache-2.0"}


def setup(options: BundleOptions) -> None:
    """Refuse a machine that could not test the app on the processor that was asked for."""
    if options.self_test and needs_qemu(options.architecture):
        check_arm64(options.runtime, options.sysroot)


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the app beside `model/`, with this machine's versions pinned."""
    needed = ["onnxruntime", "numpy", *(["tokenizers"] if job.model.text else [])]
    runtime = [installed(name, _LICENSES[name]) for name in needed]
    write_app(
        "python",
        folder,
        {
            "model": job.model,
            "runtime": runtime,
            "is_signed": job.options.sign is not None,
            "shell": typed(job.model),
            "source": python_example(job.model),
            "is_text": takes_plain_text(job.model),
        },
    )
    return runtime


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Run it with this interpreter, or with one of the device's architecture under qemu."""
    if needs_qemu(job.options.architecture):
        return run_on_arm64(
            ["app.py", "--self-test"],
            folder,
            wheels=job.options.runtime,
            root=job.options.sysroot,
            shown=COMMAND,
            timeout_s=job.options.timeout_s,
        )
    return run_with_this_python(
        ["app.py", "--self-test"], folder, shown=COMMAND, timeout_s=job.options.timeout_s
    )


TARGET = Target(
    name="python",
    about="a folder with one Python file, on onnxruntime and numpy",
    write=write,
    self_test=self_test,
    command=COMMAND,
    setup=setup,
    reads=frozenset({"architecture"}),
    reads_for_another=frozenset({"runtime", "sysroot"}),
)
