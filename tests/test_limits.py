"""What affinity, quota and memory limits leave to this process."""

import os
from pathlib import Path

import pytest

from tests.tiny_package import GRAPH
from toolkit import limits
from toolkit.limits import (
    cpu_quota,
    default_threads,
    memory_limit_bytes,
    physical_cores,
    threads_within,
)
from toolkit.runtime import SessionOptions, open_session


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


def test_a_memory_limit_of_cgroup_2_is_the_smallest_above(tmp_path: Path) -> None:
    written(tmp_path / "memory.max", "max\n")
    written(tmp_path / "pod" / "memory.max", "2000000000\n")
    written(tmp_path / "pod" / "box" / "memory.max", "3000000000\n")
    assert memory_limit_bytes(tmp_path, "0::/pod/box\n") == 2_000_000_000


def test_a_memory_limit_of_cgroup_1_that_is_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "memory" / "memory.limit_in_bytes"
    written(file, "9223372036854771712\n")
    assert memory_limit_bytes(tmp_path, "3:memory:/\n") is None
    written(file, "536870912\n")
    assert memory_limit_bytes(tmp_path, "4:cpu:/\n3:memory:/\n") == 1 << 29


def siblings(root: Path, pairs: dict[int, str]) -> Path:
    for number, text in pairs.items():
        written(root / f"cpu{number}" / "topology" / "thread_siblings_list", text + "\n")
    return root


def test_two_logical_cores_of_one_core_count_once(tmp_path: Path) -> None:
    root = siblings(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert physical_cores([0, 1, 2, 3], root) == 2
    assert physical_cores([0, 2], root) == 1
    assert physical_cores([1, 2], root) == 2


def test_an_unknown_topology_is_none(tmp_path: Path) -> None:
    assert physical_cores([0, 1], siblings(tmp_path, {0: "0"})) is None
    assert physical_cores([], tmp_path) is None


@pytest.mark.parametrize(
    "cores,quota,threads",
    [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (2, 4.0, 2), (8, 0.5, 1)],
)
def test_a_quota_rounds_down_and_never_below_one(
    cores: int, quota: float | None, threads: int
) -> None:
    assert threads_within(cores=cores, quota=quota) == threads


def session_threads(options: SessionOptions) -> int:
    """Threads that a session starts, with the one that calls it."""
    before = len([*Path("/proc/self/task").iterdir()])
    session = open_session(GRAPH, options)
    started = len([*Path("/proc/self/task").iterdir()]) - before
    assert session.inputs
    return started + 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_a_session_keeps_to_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cpu_quota", lambda: 1.7)
    assert default_threads() == 1
    assert session_threads(SessionOptions()) == 1
    assert session_threads(SessionOptions(threads=3)) == 3


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_a_session_keeps_to_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cpu_quota", lambda: None)
    monkeypatch.setattr(limits, "affinity", lambda: (0,))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert session_threads(SessionOptions()) == 1
