"""What a bundle that is too large is told to do."""

import pytest

from toolkit.bundle.report import Part
from toolkit.bundle.sizes import check_size
from toolkit.bundle.targets import web
from toolkit.errors import CheckFailedError

MODEL = Part(path="model/model.onnx", kind="model", size_bytes=90_000_000)
WEBASSEMBLY = Part(
    path="runtime/ort-wasm-simd-threaded.wasm", kind="runtime", size_bytes=14_000_000
)
WEBGPU = Part(
    path="runtime/ort-wasm-simd-threaded.asyncify.wasm", kind="runtime", size_bytes=26_800_000
)


def fix(parts: list[Part], most: int) -> str:
    with pytest.raises(CheckFailedError) as caught:
        check_size(parts, [], most, float_only=web.TARGET.float_only)
    return caught.value.fix


def test_below_the_runtime_only_a_larger_budget_helps() -> None:
    for parts in ([MODEL, WEBASSEMBLY], [MODEL, WEBASSEMBLY, WEBGPU]):
        said = fix(parts, 5_000_000)
        assert said.startswith("--max-size well above 14.0MB")
        assert "toolkit quantize" not in said


def test_an_int8_variant_is_said_to_leave_the_other_runtime_out() -> None:
    said = fix([MODEL, WEBASSEMBLY, WEBGPU], 50_000_000)
    assert "toolkit quantize" in said
    assert "26.8 MB" in said
    assert "14.0 MB" in said


def test_without_it_the_model_is_what_can_shrink() -> None:
    assert "14.0 MB stay" in fix([MODEL, WEBASSEMBLY], 50_000_000)
    assert "runtime" not in fix([MODEL], 50_000_000)
