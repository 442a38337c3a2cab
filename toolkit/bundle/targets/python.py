"""A folder for Python: one file of code, on onnxruntime, numpy and, for texts, tokenizers."""

import sys
from collections.abc import Sequence
from pathlib import Path

from toolkit.bundle.apps import write_app
from toolkit.bundle.document import AppModel
from toolkit.bundle.examples import shell_example, takes_plain_text
from toolkit.bundle.job import Job, Target
from toolkit.bundle.qemu import needs_qemu, run_on_arm64
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.bundle.runtimes import installed
from toolkit.bundle.testing import run_self_test

COMMAND = "python app.py --self-test"
_SHORT = 120
"""Characters of an item that a README shows."""
_LICENSES = {"onnxruntime": "MIT", "numpy": "BSD-3-Clause", "tokenizers": "Apache-2.0"}


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the app beside `model/`, with this machine's versions pinned."""
    needed = ["onnxruntime", "numpy", *(["tokenizers"] if job.model.text else [])]
    runtime = [installed(name, _LICENSES[name]) for name in needed]
    example = shell_example(job.model)
    is_typed = job.model.self_test.cases[0].item is not None and len(example) <= _SHORT
    write_app(
        "python",
        folder,
        {
            "model": job.model,
            "runtime": runtime,
            "is_signed": job.options.sign is not None,
            "shell": example if is_typed else "< items.jsonl",
            "source": _source(job.model),
            "is_text": takes_plain_text(job.model),
        },
    )
    return runtime


def _source(model: AppModel) -> str:
    """An item as it stands in a Python program; long ones are read from the document."""
    case = model.self_test.cases[0]
    if case.item is None:
        arrays = (f'"{one.name}": np.zeros({one.shape}, np.{one.dtype})' for one in case.inputs)
        return f"{{{', '.join(arrays)}}}"
    written = repr(case.item)
    return written if len(written) <= _SHORT else 'model.about["self_test"]["cases"][0]["item"]'


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
    return run_self_test(
        [sys.executable, "app.py", "--self-test"],
        folder,
        shown=COMMAND,
        timeout_s=job.options.timeout_s,
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )


TARGET = Target(
    name="python",
    about="a folder with one Python file, on onnxruntime and numpy",
    write=write,
    self_test=self_test,
    command=COMMAND,
)
