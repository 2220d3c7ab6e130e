"""The default number of threads, with /proc and /sys as various machines show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from zigllm_cli.engine import threads


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def topology(*siblings: str) -> dict[str, str]:
    """`siblings` of CPU 0, 1, 2 ..."""
    folder = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {folder.format(cpu): text for cpu, text in enumerate(siblings)}


V2 = {"proc/self/cgroup": "0::/user.slice/job"}
V1 = {"proc/self/cgroup": "9:memory:/x\n3:cpu,cpuacct:/docker/abc\n0::/"}
V2_FOLDER, V1_FOLDER = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({**V2, f"{V2_FOLDER}/user.slice/job/cpu.max": "max 100000"}, None),
        ({**V2, f"{V2_FOLDER}/user.slice/job/cpu.max": "150000 100000"}, 2),
        ({**V2, f"{V2_FOLDER}/user.slice/job/cpu.max": "10000 100000"}, 1),
        (
            {
                **V2,
                f"{V2_FOLDER}/user.slice/job/cpu.max": "max 100000",
                f"{V2_FOLDER}/user.slice/cpu.max": "300000 100000",
            },
            3,
        ),
        ({f"{V2_FOLDER}/cpu.max": "400000 100000"}, 4),  # inside a container
        ({**V2, f"{V2_FOLDER}/cpu.max": "nonsense"}, None),
        (
            {
                **V1,
                f"{V1_FOLDER}/docker/abc/cpu.cfs_quota_us": "250000",
                f"{V1_FOLDER}/docker/abc/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                **V1,
                f"{V1_FOLDER}/cpu.cfs_quota_us": "-1",
                f"{V1_FOLDER}/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        (
            {
                **V1,
                f"{V1_FOLDER}/cpu.cfs_quota_us": "200000",
                f"{V1_FOLDER}/cpu.cfs_period_us": "100000",
            },
            2,
        ),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert threads.quota(write(tmp_path, files)) == expected


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.sys, "platform", "linux")


@pytest.mark.usefixtures("linux")
def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    root = write(tmp_path, topology("0,2", "1,3", "0,2", "1,3"))
    assert threads.physical_cores({0, 1, 2, 3}, root) == 2
    assert threads.physical_cores({0, 2}, root) == 1
    assert threads.physical_cores({0, 9}, root) is None


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(
    ("allowed", "quota", "expected"), [(8, None, 4), (8, "2", 2), (2, None, 1), (3, "9", 2)]
)
def test_the_smallest_wins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    allowed: int,
    quota: str | None,
    expected: int,
) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: set(range(allowed)))
    files = topology(*(f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(8)))
    if quota:
        files |= {f"{V2_FOLDER}/cpu.max": f"{quota}00000 100000"}
    assert threads.default_threads(write(tmp_path, files)) == expected


def test_where_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "affinity", set)
    assert threads.default_threads(tmp_path) == 1


def test_this_machine() -> None:
    assert 1 <= threads.default_threads() <= len(threads.affinity())
