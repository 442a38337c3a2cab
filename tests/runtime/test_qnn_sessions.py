"""QNN for real, on the simulator that its wheel for x86-64 holds."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.graphs import feeds, write_graph
from tests.tiny_package import write_tiny_package
from toolkit.errors import InputError, SetupError, ToolkitWarning
from toolkit.runtime import Provider, SessionOptions, open_session
from toolkit.runtime.compiled import METADATA_KEY, QnnCompatibility, check_compiled, installed_sdk
from toolkit.runtime.explained import nothing_runs
from toolkit.runtime.failures import CompiledModelError
from toolkit.runtime.plugins import devices
from toolkit.runtime.provider_options import checked_options

pytestmark = pytest.mark.skipif(
    find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn, of the extra qnn, is missing"
)
HERE = "QNNExecutionProvider"


def opened(model: Path, **options: Any) -> Any:
    return open_session(model, SessionOptions(provider=Provider.QNN, **options))


def test_all_nodes_are_placed_and_answer_as_the_cpu_does(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx")
    session = opened(model, fix_shapes={"batch": 4}, require={"qnn": 1.0})
    assert (session.placement, session.elsewhere) == ({HERE: 3}, {})
    assert session.placed.share(Provider.QNN) == 1.0
    cpu = open_session(model, SessionOptions()).run(feeds(4))["y"]
    found = session.run(feeds(4))["y"]
    assert not np.array_equal(found, cpu)  # the chip computes in fp16, and so does its simulator
    np.testing.assert_allclose(found, cpu, rtol=1e-2, atol=5e-2)


def test_the_second_session_of_a_process_is_placed_too(tmp_path: Path) -> None:
    # Once registered, the plugin is listed as available, and ignored when asked for by name.
    model = write_graph(tmp_path / "model.onnx", batch=4)
    assert [opened(model).placement for _ in range(2)] == [{HERE: 3}, {HERE: 3}]


def test_symbolic_dimensions_run_on_the_cpu_where_that_is_allowed(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx")
    with pytest.warns(ToolkitWarning, match="needs fixed shapes"):
        session = opened(model, allow_fallback=True)
    assert session.provider is Provider.CPU
    assert session.placement == {"CPUExecutionProvider": 3}


def test_stdout_holds_the_document_alone(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "tiny.ortpackage").path
    arguments = ["good film", "--provider", "qnn", "--fix-shapes", "batch=1,sequence=4", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "infer", str(package), *arguments],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["provider"] == "qnn"
    assert document["placement"][HERE] == 3 - sum(document["elsewhere"].values())
    assert document["results"][0]["label"] == "positive"


def test_an_input_without_elements_is_refused(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=0)
    with pytest.raises(InputError, match=r"float32\[0, 8\], which has no elements"):
        opened(model)


def test_a_chip_that_qnn_does_not_know_is_an_input_error(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4)
    with pytest.raises(InputError, match="knows no chip 9999") as caught:
        opened(model, provider_options={"soc_model": "9999"})
    assert "SM8650 (57)" in caught.value.expected
    with pytest.warns(ToolkitWarning, match="knows no chip 9999"):
        session = opened(model, provider_options={"soc_model": "9999"}, allow_fallback=True)
    assert session.provider is Provider.CPU


def test_a_backend_that_the_wheel_lacks_is_named(tmp_path: Path) -> None:
    model = write_graph(tmp_path / "model.onnx", batch=4)
    with pytest.raises(SetupError, match=r"the library libQnnCpu\.so is missing") as caught:
        opened(model, provider_options={"backend_type": "cpu"})
    assert "operators" not in caught.value.expected
    assert caught.value.fix.startswith("leave backend_type out")


def test_a_library_that_is_missing_is_what_is_said_of_a_provider() -> None:
    reason = "Unable to load backend, error: libQnnHtp.so: cannot open shared object file: No such"
    error = nothing_runs("model.onnx", SessionOptions(provider=Provider.QNN), {}, reason)
    assert "the library libQnnHtp.so is missing" in error.problem
    assert "operators" not in error.expected
    assert "[qnn]" in error.fix


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that was compiled for chip 57."""
    import onnxruntime as ort

    folder = tmp_path_factory.mktemp("compiled")
    model = write_graph(folder / "model.onnx", batch=4)
    options = checked_options(Provider.QNN, {"soc_model": "57"})
    settings = ort.SessionOptions()
    settings.add_provider_for_devices(devices(Provider.QNN, options), options)
    compiler = ort.ModelCompiler(settings, str(model), embed_compiled_data_into_model=True)
    compiler.compile_to_file(str(folder / "compiled.onnx"))
    return folder / "compiled.onnx"


def test_a_compiled_graph_runs_on_its_chip(compiled: Path) -> None:
    for given in ({}, {"soc_model": "57"}, {"soc_model": "SM8650"}):
        session = opened(compiled, provider_options=given)
        assert session.placed.operators == {HERE: {"com.microsoft.EPContext": 1}}
        assert session.run(feeds(4))["y"].shape == (4, 8)


@pytest.mark.parametrize("chip", ["69", "069", "SM8750"])
def test_a_graph_that_was_compiled_for_another_chip_is_refused(compiled: Path, chip: str) -> None:
    with pytest.raises(CompiledModelError, match="for chip 57, and soc_model is 69") as caught:
        opened(compiled, provider_options={"soc_model": chip})
    assert caught.value.exit_code == 3
    assert "--soc 69" in caught.value.fix


def test_a_compiled_graph_has_no_dimension_to_fix(compiled: Path) -> None:
    with pytest.raises(InputError, match="no dimension 'batch'") as caught:
        opened(compiled, fix_shapes={"batch": 4})
    assert caught.value.fix == "leave --fix-shapes out"


def test_a_compiled_graph_is_refused_on_the_cpu(compiled: Path) -> None:
    with pytest.raises(InputError, match=HERE) as caught:
        open_session(compiled, SessionOptions())
    assert caught.value.expected == "--provider qnn"


def changed(compiled: Path, target: Path, **attributes: bytes) -> Path:
    import onnx

    model = onnx.load(compiled)
    for attribute in model.graph.node[0].attribute:
        if attribute.name in attributes:
            attribute.s = attributes[attribute.name]
    onnx.save(model, target)
    return target


def test_a_damaged_context_is_refused(compiled: Path, tmp_path: Path) -> None:
    broken = changed(compiled, tmp_path / "broken.onnx", ep_cache_context=b"no binary")
    with pytest.raises(CompiledModelError, match="another release of the SDK, or are damaged"):
        opened(broken)


def test_a_context_of_another_provider_is_refused(compiled: Path, tmp_path: Path) -> None:
    foreign = changed(compiled, tmp_path / "foreign.onnx", source=b"OpenVINOExecutionProvider")
    with pytest.raises(CompiledModelError, match="OpenVINOExecutionProvider") as caught:
        opened(foreign)
    assert caught.value.expected == "--provider openvino"


def test_a_context_of_a_newer_sdk_is_refused(compiled: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(compiled)
    (entry,) = (one for one in model.metadata_props if one.key == METADATA_KEY + HERE)
    here = QnnCompatibility.parsed(entry.value)
    assert here is not None
    assert (here.sdk, here.chips) == (installed_sdk(), (57,))
    entry.value = entry.value.replace(here.sdk, "99.1.0")
    onnx.save(model, tmp_path / "newer.onnx")
    with pytest.raises(CompiledModelError, match=r"release 99\.1\.0 .* is installed") as caught:
        opened(tmp_path / "newer.onnx")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("text", ["", "v1:6:2.51.0", "v2:6:x:5.51.0:0:57:0:0", "v2:6:2.1:5:0:a:0"])
def test_a_compatibility_string_of_another_format_says_nothing(text: str) -> None:
    assert QnnCompatibility.parsed(text) is None
    check_compiled(text, Provider.QNN, {"soc_model": "57"}, "model.onnx")
