"""How large things are, and what a bundle that is too large is told to do."""

from pathlib import Path

import pytest

from toolkit.bundle.report import Part
from toolkit.bundle.runtimes import installed
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


def test_what_python_compiled_of_a_library_here_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, compiled = tmp_path / "lib-1.0.dist-info", tmp_path / "lib" / "__pycache__"
    about.mkdir()
    compiled.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n")
    (tmp_path / "lib" / "code.py").write_bytes(b"1" * 700)
    (compiled / "code.cpython-311.pyc").write_bytes(b"1" * 5000)
    (about / "RECORD").write_text("lib/code.py,,\nlib/__pycache__/code.cpython-311.pyc,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed("lib", "MIT").size_bytes == 700
