"""A Gradle project in Kotlin, on onnxruntime-android."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import cast
from xml.sax.saxutils import escape

from toolkit.bundle.apps import write_app
from toolkit.bundle.document import FOLDER, AppModel
from toolkit.bundle.examples import example_item
from toolkit.bundle.job import Job, Target
from toolkit.bundle.mobile.checked import check_dtypes, check_fixed, check_here, check_inputs
from toolkit.bundle.mobile.predicted import remark
from toolkit.bundle.mobile.reduced import write_reduced
from toolkit.bundle.mobile.tokenizer import check_text, write_tokenizer
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.errors import InputError

COMMAND = "gradle :edge:connectedAndroidTest"

ONNXRUNTIME = "1.29.0"
"""The release whose classes the Kotlin code is compiled against by the tests."""

SIZE_BYTES = 32_120_992 + 111_648 + 141_135
"""Its two libraries for arm64-v8a, not compressed, and its classes. Source: onnxruntime-android
1.29.0 in the npm package com.github.asus4.onnxruntime 0.4.9."""

LARGEST_BYTES = 2**31 - 2**20
"""Java maps no more than 2 GiB of a file at once, and protobuf holds no more."""

PLAY_BYTES = 200 * 10**6
"""What Google Play delivers of an app's base module; more needs asset packs."""

PLAY = (
    f"Google Play delivers {PLAY_BYTES // 10**6} MB of an app at once: put model/ into an asset "
    "pack"
)

DTYPES = frozenset(
    {"bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8"}
)
"""What the Java API makes tensors of."""

PROVIDERS = ("nnapi", "xnnpack")
NOT_CHECKED = (
    "not checked here: the Gradle build, a phone or emulator, and whether NNAPI and XNNPACK start"
)

_NATIVE = Path("edge/src/main/cpp")
_LIBRARIES = "jni/arm64-v8a/"


def check(job: Job) -> None:
    """Refuse open sizes, element types that Java has no tensors of, and unknown tokenizers."""
    check_fixed(job.model, "Android")
    check_dtypes(job.model, DTYPES, "android")
    check_inputs(job.model, "android")
    check_text(job, "android")
    _size_bytes(job.options.runtime)


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the project beside `model/`, and `reduced/` beside it."""
    write_reduced(folder / FOLDER / job.model.graph, folder)
    predicted = remark(
        job, folder, PROVIDERS, most_bytes=PLAY_BYTES, store=PLAY, not_checked=NOT_CHECKED
    )
    values = {
        "model": job.model,
        "onnxruntime": ONNXRUNTIME,
        "predicted": predicted,
        "command": COMMAND,
        "example": _example(job.model),
        "label": escape(job.model.name, {'"': "&quot;"}),
    }
    write_app("android", folder, values)
    if job.model.text is None:
        rmtree(folder / _NATIVE)
    else:
        write_tokenizer(folder / FOLDER / job.model.text.tokenizer, folder / _NATIVE)
    runtime = Runtime(
        name="onnxruntime-android",
        version=ONNXRUNTIME,
        license="MIT",
        purl=f"pkg:maven/com.microsoft.onnxruntime/onnxruntime-android@{ONNXRUNTIME}",
        size_bytes=_size_bytes(job.options.runtime),
        included=False,
    )
    return [runtime]


def _example(model: AppModel) -> str:
    """The first reference item in Kotlin; rows and pixels are too long for that."""
    if model.text is None:
        return "JSONObject(json)" if model.image is None else "pixels"
    item = example_item(model)
    texts = [item] if isinstance(item, str) else cast(Sequence[str], item)
    literals = [json.dumps(text).replace("$", "\\$") for text in texts]  # $ would name a variable
    return literals[0] if isinstance(item, str) else f"listOf({', '.join(literals)})"


def _size_bytes(aar: Path | None) -> int:
    """What one processor's libraries and the classes have."""
    if aar is None:
        return SIZE_BYTES
    try:
        with zipfile.ZipFile(aar) as archive:
            sizes = {one.filename: one.file_size for one in archive.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"--runtime {aar} is no Android archive: {error}", expected="an .aar of onnxruntime"
        ) from error
    if f"{_LIBRARIES}libonnxruntime.so" not in sizes:
        raise InputError(
            f"--runtime {aar} holds no {_LIBRARIES}libonnxruntime.so",
            expected="an .aar of onnxruntime for arm64-v8a",
        )
    return sum(
        size for name, size in sizes.items() if name.startswith(_LIBRARIES) or name == "classes.jar"
    )


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Compare the graphs with the cases on this machine; a phone does it by `COMMAND`."""
    return check_here(job.model, folder, tokenizer=_NATIVE, command=COMMAND)


TARGET = Target(
    name="android",
    about="a Gradle project in Kotlin, on onnxruntime-android",
    write=write,
    self_test=self_test,
    command=COMMAND,
    reads=frozenset({"runtime"}),
    check=check,
    needs_fixed_shapes=True,
    largest_bytes=LARGEST_BYTES,
)
