"""A Swift package and a SwiftUI app, on onnxruntime for iOS with its Core ML provider."""

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import cast

from toolkit.bundle.apps import write_app
from toolkit.bundle.document import FOLDER, AppModel
from toolkit.bundle.examples import example_item
from toolkit.bundle.job import Job, Target
from toolkit.bundle.mobile.checked import (
    check_dtypes,
    check_fixed,
    check_here,
    check_inputs,
    check_opset,
)
from toolkit.bundle.mobile.predicted import remark
from toolkit.bundle.mobile.reduced import write_reduced
from toolkit.bundle.mobile.tokenizer import check_text, write_tokenizer
from toolkit.bundle.report import Runtime, SelfTestReport
from toolkit.errors import InputError

COMMAND = (
    "xcodebuild test -project Edge.xcodeproj -scheme Edge "
    "-destination 'platform=iOS,name=My iPhone'"
)

ONNXRUNTIME = "1.24.2"
"""The newest tag of onnxruntime-swift-package-manager, which lags behind ONNX Runtime itself."""

NEWEST_OPSET = 25
"""What onnxruntime 1.24.2 reads; measured with its Python wheel, which refuses 26."""

LARGEST_BYTES = 2**31 - 2**20
"""protobuf holds no message above 2 GiB."""

CELLULAR_BYTES = 200 * 10**6
"""Above this the App Store asks before it downloads an app over a mobile network."""

APP_STORE = (
    f"the App Store asks before it downloads more than {CELLULAR_BYTES // 10**6} MB over a mobile "
    "network"
)

DTYPES = frozenset({"float32", "int32", "int64", "int8", "uint32", "uint64", "uint8"})
"""What the Objective-C API of that release makes tensors of (ort_enums.h)."""

PROVIDERS = ("coreml MLProgram", "xnnpack")
NOT_CHECKED = (
    "not checked here: that the Swift code compiles, the Xcode project, an iPhone, and whether "
    "Core ML and XNNPACK start"
)

_NATIVE = Path("Edge/Sources/CTokenizer")
_TOKENIZER = "tokenizer"
_LIBRARY = "ios-arm64/onnxruntime.framework/onnxruntime"


def check(job: Job) -> None:
    """Refuse open sizes, element types without tensors in Swift, and unknown tokenizers."""
    check_fixed(job.model, "iOS")
    check_dtypes(job.model, DTYPES, "ios")
    check_opset(job.package.verified(job.variant), NEWEST_OPSET, f"onnxruntime {ONNXRUNTIME}")
    check_inputs(job.model, "ios")
    check_text(job, "ios")
    _size_bytes(job.options.runtime)


def write(job: Job, folder: Path) -> Sequence[Runtime]:
    """Put the package and the app beside `model/`, and `reduced/` beside it."""
    write_reduced(folder / FOLDER / job.model.graph, folder)
    predicted = remark(
        job, folder, PROVIDERS, most_bytes=CELLULAR_BYTES, store=APP_STORE, not_checked=NOT_CHECKED
    )
    values = {
        "model": job.model,
        "onnxruntime": ONNXRUNTIME,
        "predicted": predicted,
        "command": COMMAND,
        "literal": _literal(job.model),
    }
    write_app("ios", folder, values)
    if job.model.text is None:
        rmtree(folder / _NATIVE)
    else:
        write_tokenizer(folder / FOLDER / job.model.text.tokenizer, folder / _NATIVE / _TOKENIZER)
    runtime = Runtime(
        name="onnxruntime-swift-package-manager",
        version=ONNXRUNTIME,
        license="MIT",
        purl=f"pkg:swift/github.com/microsoft/onnxruntime-swift-package-manager@{ONNXRUNTIME}",
        size_bytes=_size_bytes(job.options.runtime),
        included=False,
    )
    return [runtime]


def _literal(model: AppModel) -> str:
    """The first reference item in Swift; rows and pixels are too long for that."""
    if model.text is None:
        return "try JSONDecoder().decode(JSON.self, from: json)"
    item = example_item(model)
    texts = [item] if isinstance(item, str) else cast(Sequence[str], item)
    literals = [f".string({json.dumps(text, ensure_ascii=False)})" for text in texts]
    return literals[0] if isinstance(item, str) else f".array([{', '.join(literals)}])"


def _size_bytes(framework: Path | None) -> int | None:
    """What the library for iPhones has before it is linked; None where it is not at hand."""
    if framework is None:
        return None
    library = framework / _LIBRARY
    if not library.is_file():
        raise InputError(
            f"--runtime {framework} holds no {_LIBRARY}",
            expected="the folder onnxruntime.xcframework",
        )
    return library.stat().st_size


def self_test(job: Job, folder: Path) -> SelfTestReport:
    """Compare the graphs with the cases on this machine; an iPhone does it by `COMMAND`."""
    return check_here(job.model, folder, tokenizer=_NATIVE / _TOKENIZER, command=COMMAND)


TARGET = Target(
    name="ios",
    about="a Swift package and a SwiftUI app, on onnxruntime with Core ML",
    write=write,
    self_test=self_test,
    command=COMMAND,
    reads=frozenset({"runtime"}),
    check=check,
    needs_fixed_shapes=True,
    largest_bytes=LARGEST_BYTES,
)
