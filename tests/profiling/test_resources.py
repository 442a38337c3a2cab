"""Memory, CPU time, energy and GPUs, where the system tells and where it does not."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders import mlp
from toolkit.errors import InputError
from toolkit.profiling.energy import GpuWatch, packages, read_uj, spent_joules
from toolkit.profiling.memory import memory
from toolkit.profiling.queries import Given
from toolkit.profiling.recorded import target
from toolkit.profiling.resources import Resources, measure_resources
from toolkit.profiling.specification import open_model
from toolkit.runtime import SessionOptions

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    file = tmp_path_factory.mktemp("mlp") / "mlp.onnx"
    mlp(file)
    model = open_model(file, options=SessionOptions(threads=1))
    asked = target(model, Given(sizes={"batch": 4}), runs=20, warmup=2)
    return measure_resources(asked, name="mlp.onnx")


@linux_only
def test_memory_is_told_before_and_after_the_model(resources: Resources) -> None:
    assert resources.empty.rss_mb is not None
    assert resources.loaded.rss_mb is not None
    assert resources.peak_rss_mb is not None
    assert resources.model_load_mb == resources.loaded.rss_mb - resources.empty.rss_mb
    assert resources.peak_rss_mb >= resources.loaded.rss_mb
    assert resources.steady.uss_mb is not None
    assert resources.steady.pss_mb is not None
    assert resources.steady.uss_mb <= resources.steady.pss_mb


def test_cpu_time_is_of_the_runs_that_were_made(resources: Resources) -> None:
    assert (resources.runs, resources.threads) == (20, 1)
    assert resources.cpu_ms_per_run > 0
    assert resources.wall_ms_per_run > 0
    # One thread, which cannot be busy for longer than the runs take.
    assert resources.cpu_ms_per_run <= 1.5 * resources.wall_ms_per_run
    ratio = resources.cpu_ms_per_run / resources.wall_ms_per_run
    assert resources.as_json()["cpu_utilization"] == pytest.approx(ratio)


def test_what_is_not_known_says_why(resources: Resources) -> None:
    document = resources.as_json()
    for field in ("energy_joules_per_run", "gpus", "peak_rss_mb", "model_load_mb"):
        assert (document[field] is None) == (field in document["why_not"])


def test_no_runs_cost_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mlp.onnx"
    mlp(file)
    with pytest.raises(InputError):
        measure_resources(target(open_model(file), None, runs=0, warmup=0), name="mlp.onnx")


def test_private_pages_are_the_unique_ones(tmp_path: Path) -> None:
    rollup, status = tmp_path / "smaps_rollup", tmp_path / "status"
    rollup.write_text(
        "55d0-7fff ---p 00000000 00:00 0    [rollup]\nRss:    4000 kB\nPss:    3000 kB\n"
        "Private_Clean:    500 kB\nPrivate_Dirty:   1500 kB\n"
    )
    status.write_text("VmRSS:\t 9 kB\nRssFile:\t  1000 kB\n")
    found = memory(rollup, status)
    assert (found.rss_mb, found.pss_mb, found.uss_mb) == (4.096, 3.072, 2.048)
    assert found.file_mb == 1.024


def test_a_system_without_a_rollup_tells_what_is_resident(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmRSS:\t 2000 kB\n")
    found = memory(tmp_path / "none", status)
    assert (found.rss_mb, found.pss_mb, found.uss_mb) == (2.048, None, None)
    nothing = memory(tmp_path / "none", tmp_path / "none")
    assert nothing.rss_mb is None


def zone(root: Path, place: str, name: str, energy_uj: int) -> Path:
    folder = root / place
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    return folder


def test_energy_counts_packages_and_not_the_cores_inside_of_them(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 10)
    zone(tmp_path, "intel-rapl:1", "psys", 10)
    (tmp_path / "intel-rapl").mkdir()
    counters, why_not = packages(tmp_path)
    assert (len(counters), why_not) == (1, "")
    before = read_uj(counters)
    (package / "energy_uj").write_text("400000\n")  # the counter went round
    assert spent_joules(counters, before, read_uj(counters)) == 0.5


def test_no_energy_counter_is_said(tmp_path: Path) -> None:
    assert packages(tmp_path / "none") == (
        (),
        "the system offers no energy counter (no /sys/class/powercap)",
    )
    counters, why_not = packages(tmp_path)
    assert counters == ()
    assert why_not


def test_a_counter_that_only_root_may_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    read_text = Path.read_text

    def refused(self: Path) -> str:
        if self.name == "energy_uj":  # a test may run as root, who may read everything
            raise PermissionError(13, "Permission denied", str(self))
        return read_text(self)

    monkeypatch.setattr(Path, "read_text", refused)
    counters, why_not = packages(tmp_path)
    assert counters == ()
    assert "Permission denied" in why_not


class FakeNvml(SimpleNamespace):
    """The part of NVIDIA's library that is asked."""

    NVMLError = RuntimeError

    def __init__(self, gpus: int = 1, *, counts_energy: bool = True) -> None:
        super().__init__()
        self.gpus, self.counts_energy, self.millijoules = gpus, counts_energy, 0
        self.is_open = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: setattr(self, "is_open", True),
            "nvmlShutdown": lambda: setattr(self, "is_open", False),
            "nvmlDeviceGetCount": lambda: self.gpus,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda device: b"Test GPU",
            "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=40),
            "nvmlDeviceGetMemoryInfo": lambda device: SimpleNamespace(used=3_000_000_000),
            "nvmlDeviceGetComputeRunningProcesses": lambda device: [
                SimpleNamespace(pid=os.getpid(), usedGpuMemory=500_000_000),
                SimpleNamespace(pid=1, usedGpuMemory=900_000_000),
            ],
            "nvmlDeviceGetTotalEnergyConsumption": self._energy,
        }
        return answers[name]

    def _energy(self, device: int) -> int:
        if not self.counts_energy:
            raise RuntimeError
        self.millijoules += 2000
        return self.millijoules


def test_a_gpu_tells_memory_load_and_energy() -> None:
    library = FakeNvml()
    with GpuWatch(lambda: library) as watch:
        assert library.is_open
    (gpu,) = watch.found
    assert (gpu.name, gpu.process_mb, gpu.used_mb) == ("Test GPU", 500.0, 3000.0)
    assert gpu.utilization == pytest.approx(0.4)
    assert gpu.joules == 2.0
    assert not library.is_open


def test_an_old_gpu_counts_no_energy() -> None:
    with GpuWatch(lambda: FakeNvml(counts_energy=False)) as watch:
        pass
    assert watch.found[0].joules is None


def test_one_query_that_a_gpu_does_not_answer_costs_that_figure_alone() -> None:
    class Partial(FakeNvml):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            if name in {"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"}:
                return self._refuse
            return super().__getattr__(name)

        def _refuse(self, device: int) -> None:
            raise self.NVMLError("Not Supported")

    with GpuWatch(Partial) as watch:
        pass
    (gpu,) = watch.found
    assert (gpu.name, gpu.process_mb, gpu.joules) == ("Test GPU", 500.0, 2.0)
    assert (gpu.utilization, gpu.used_mb) == (None, None)


def missing() -> Any:
    raise ImportError("No module named 'pynvml'")


def broken() -> Any:
    raise RuntimeError("Driver Not Loaded")


@pytest.mark.parametrize(
    "load,why",
    [
        (missing, "onnx-edge-toolkit[gpu]"),
        (broken, "Driver Not Loaded"),
        (lambda: FakeNvml(0), "no NVIDIA GPU"),
    ],
)
def test_no_gpu_is_said(load: Callable[[], Any], why: str) -> None:
    with GpuWatch(load) as watch:
        pass
    assert watch.found == ()
    assert why in watch.why_not
