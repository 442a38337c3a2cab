"""The machine that a number was measured on."""

import platform
from pathlib import Path

import pytest

from toolkit.machine import cpu_model, cpu_quota, this_machine
from toolkit.profiling.memory import peak_rss_mb


def written(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_quota_of_cgroup_2_counts_in_cores(tmp_path: Path) -> None:
    written(tmp_path / "cpu.max", "150000 100000\n")
    assert cpu_quota(tmp_path, "0::/\n") == 1.5


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    written(tmp_path / "pod" / "cpu.max", "50000 100000\n")
    written(tmp_path / "pod" / "box" / "cpu.max", "max 100000\n")
    assert cpu_quota(tmp_path, "0::/pod/box\n") == 0.5


def test_a_group_whose_path_the_container_cannot_see_is_read_at_the_root(tmp_path: Path) -> None:
    written(tmp_path / "cpu.max", "200000 100000\n")
    assert cpu_quota(tmp_path, "0::/docker/4f2a\n") == 2.0


def test_a_quota_of_cgroup_1_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "cpu,cpuacct"
    written(folder / "cpu.cfs_quota_us", "25000\n")
    written(folder / "cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path, "4:cpu,cpuacct:/\n3:memory:/\n") == 0.25


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense\n"])
def test_no_limit_is_no_quota(tmp_path: Path, text: str) -> None:
    written(tmp_path / "cpu.max", text)
    assert cpu_quota(tmp_path, "0::/\n") is None


def test_cgroup_1_without_a_limit_says_minus_one(tmp_path: Path) -> None:
    written(tmp_path / "cpu" / "cpu.cfs_quota_us", "-1\n")
    written(tmp_path / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path, "4:cpu:/\n") is None


def test_the_cpu_model_comes_from_cpuinfo() -> None:
    assert cpu_model("processor : 0\nmodel name\t: Fast CPU 3000\n") == "Fast CPU 3000"


def test_the_machine_is_described_without_its_name() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.python == platform.python_version()
    assert "onnxruntime" in " ".join(machine.versions)
    assert platform.node() not in machine.as_line()


def test_peak_memory_is_the_high_water_mark(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  900000 kB\nVmHWM:\t   50000 kB\n")
    assert peak_rss_mb(status) == 51.2


def test_a_system_that_says_nothing_gives_none(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\n")
    assert peak_rss_mb(status) is None
