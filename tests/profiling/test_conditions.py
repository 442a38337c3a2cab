"""Where the control group of this process counts its waits."""

from pathlib import Path

import pytest

from toolkit.profiling.conditions import Watch, own_cpu_stat


def counting(folder: Path, waits_us: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cpu.stat"
    file.write_text(f"nr_throttled 3\nthrottled_usec {waits_us}\n")
    return file


@pytest.mark.parametrize(
    "line, place",
    [
        ("0::/user.slice/app.scope\n", "user.slice/app.scope"),
        ("1:cpu:/old\n0::/user.slice/app.scope\n", "user.slice/app.scope"),
        ("0::/user.slice/gone\n", "user.slice"),
        ("0::/of/the/host\n", ""),
        ("", ""),
    ],
)
def test_waits_are_those_of_the_nearest_group(line: str, place: str, tmp_path: Path) -> None:
    for folder in ("user.slice/app.scope", "user.slice", ""):
        counting(tmp_path / "groups" / folder, 5)
    (tmp_path / "cgroup").write_text(line)
    expected = tmp_path / "groups" / place / "cpu.stat"
    assert own_cpu_stat(tmp_path / "groups", tmp_path / "cgroup") == expected


def test_waits_are_counted_from_the_first_look(tmp_path: Path) -> None:
    file = counting(tmp_path, 7000)
    watch = Watch(tmp_path / "none", tmp_path / "none", file)
    watch.look()
    counting(tmp_path, 12000)
    watch.look()
    assert watch.seen().quota_waits_ms == 5
