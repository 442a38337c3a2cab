"""The machine that a number was measured on."""

import platform
from pathlib import Path

from toolkit.machine import cpu_features, cpu_model, frequency_mhz, this_machine
from toolkit.profiling.memory import peak_rss_mb


def test_the_cpu_model_comes_from_cpuinfo() -> None:
    assert cpu_model("processor : 0\nmodel name\t: Fast CPU 3000\n") == "Fast CPU 3000"


def test_features_are_those_that_kernels_choose_by() -> None:
    flags = "flags\t\t: fpu avx2 avx512f avx512_vnni amx_int8 hypervisor\n"
    assert cpu_features(flags) == ("avx2", "avx512f", "avx512_vnni", "amx_int8")
    assert cpu_features("Features\t: fp asimd asimddp i8mm\n") == ("asimd", "asimddp", "i8mm")
    assert cpu_features("") == ()


def test_the_clock_is_read_where_the_system_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "scaling_cur_freq"
    assert frequency_mhz(file) is None
    assert frequency_mhz(file, "processor : 0\ncpu MHz\t\t: 2600.5\n") == 2600.5
    file.write_text("3100000\n")
    assert frequency_mhz(file, "cpu MHz : 2600\n") == 3100.0


def test_the_machine_is_described_without_its_name() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.affinity == () or len(machine.affinity) == machine.cores
    assert machine.default_threads is None or 1 <= machine.default_threads <= machine.cores
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
