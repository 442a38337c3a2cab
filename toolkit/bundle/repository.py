"""A Triton model repository and a client, beside `model/`: what `triton` and `kserve` share."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.bundle.apps import write_app
from toolkit.bundle.company import PAD_TO, changed_in_company, has_batch
from toolkit.bundle.document import DOCUMENT, FOLDER, TENSORS
from toolkit.bundle.examples import python_example, takes_plain_text, typed
from toolkit.bundle.job import Job
from toolkit.bundle.report import Runtime
from toolkit.bundle.runtimes import installed
from toolkit.bundle.serving import put_python_app, served_name
from toolkit.bundle.sizes import REPOSITORY_FOLDER
from toolkit.bundle.triton import MOST_ROWS, config_text, left_out

VERSION = "1"
CONFIG = "config.pbtxt"
_LICENSES = {
    "onnxruntime": "MIT",
    "numpy": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "tokenizers": "Apache-2.0",
}
_OWN = frozenset({"tokenizer.json", "features.json", TENSORS})
"""Files of `model/` that a client needs and Triton does not."""


def write_repository(job: Job, folder: Path) -> Sequence[Runtime]:
    """Move the graph into `models/NAME/1`, and put configuration, client and self-test beside it.

    Raises:
        InputError: The name or a tensor's type is none that Triton takes.
        SetupError: protobuf is not installed.
    """
    runtime = [
        installed(name, license_id)
        for name, license_id in _LICENSES.items()
        if name != "tokenizers" or job.model.text
    ]
    name = served_name(job.model)
    reason = "" if not has_batch(job.model) else changed_in_company(job, folder)
    rows = 0 if not has_batch(job.model) else 1 if reason else MOST_ROWS
    if reason:
        job.remarks.append(f"no dynamic batching: {reason}")
    place = folder / REPOSITORY_FOLDER / name
    (place / VERSION).mkdir(parents=True)
    task = job.model.task
    labels = bool(task.labels) and _has_a_column_each(job)
    (place / CONFIG).write_text(
        config_text(job.model, name, rows=rows, labels=labels), encoding="utf-8"
    )
    if labels:
        (place / "labels.txt").write_text("\n".join(task.labels) + "\n", encoding="utf-8")
    _move_graph(job, folder, place / VERSION)
    put_python_app(folder)
    write_app("oip", folder, {})
    write_app(
        "triton",
        folder,
        {
            "model": job.model,
            "runtime": runtime,
            "name": name,
            "rows": rows,
            "reason": reason,
            "left_out": left_out(job.model.session_options),
            "pad_to": PAD_TO if rows > 1 and job.model.text and not job.model.text.length else 1,
            "example": typed(job.model),
            "example_python": python_example(job.model),
            "is_text": takes_plain_text(job.model),
        },
    )
    return runtime


def repository_notes(job: Job) -> Sequence[str]:
    """What the report says beside the sizes."""
    told = ["no Triton server was started here: its image cannot be fetched"]
    if not has_batch(job.model):
        told.append("the graph has no batch axis: every request is one run")
    told += [
        f"Triton's backend has no word for the session option {option}, which is left out"
        for option in left_out(job.model.session_options)
    ]
    return told


def _has_a_column_each(job: Job) -> bool:
    output = next((one for one in job.model.outputs if one.name == job.model.task.output), None)
    labels = job.model.task.labels
    a_line_each = not any("\n" in label for label in labels)
    return output is not None and a_line_each and output.shape[-1:] == (len(labels),)


def _move_graph(job: Job, folder: Path, place: Path) -> None:
    """Put the graph and its weights where Triton looks, and tell the document."""
    moved = {}
    for name in job.model.files:
        if name in _OWN:
            continue
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / FOLDER / name).rename(target)
        moved[name] = f"../{target.relative_to(folder).as_posix()}"
    files = {moved.get(name, name): digest for name, digest in job.model.files.items()}
    document = msgspec.structs.replace(job.model, graph=moved[job.model.graph], files=files)
    document.write(folder / FOLDER / DOCUMENT)
