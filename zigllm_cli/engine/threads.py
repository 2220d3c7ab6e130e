"""How many threads to run with: as many as there are cores that this process may use wholly.

The smallest of three numbers: CPUs of the affinity mask, CPUs that the control group's quota
pays for, and physical cores among them. Threads wait for each other several hundred times per
token, so one that shares its core or is put to sleep holds up all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path

ROOT = Path("/")


def default_threads(root: Path = ROOT) -> int:
    """The number of threads that suits this process; at least 1.

    Args:
        root: where /proc and /sys stand; tests have their own.
    """
    allowed = affinity()
    limits = [len(allowed), quota(root), physical_cores(allowed, root)]
    return max(1, min(limit for limit in limits if limit is not None))


def affinity() -> set[int]:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def physical_cores(cpus: set[int], root: Path = ROOT) -> int | None:
    """Cores behind these CPUs, each counted once; None where the system does not tell."""
    if sys.platform == "darwin":
        return _mac_cores()
    cores = set()
    for cpu in cpus:
        topology = root / "sys/devices/system/cpu" / f"cpu{cpu}" / "topology"
        siblings = _read(topology / "thread_siblings_list") or _read(topology / "core_cpus_list")
        if siblings is None:
            return None
        cores.add(siblings)
    return len(cores)


def _mac_cores() -> int | None:
    """Performance cores, if the chip has two kinds."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip().isdigit():
            return int(done.stdout)
    return None


def quota(root: Path = ROOT) -> int | None:
    """CPUs that the control groups of this process pay for, rounded up; None without a limit."""
    limits = [limit for limit in (*_quotas_v2(root), *_quotas_v1(root)) if limit > 0]
    return ceil(min(limits)) if limits else None


def _quotas_v2(root: Path) -> Iterator[float]:
    """cpu.max ("quota period" or "max period") of the group and of those that it lies in."""
    for folder in _groups(root, "", root / "sys/fs/cgroup"):
        parts = (_read(folder / "cpu.max") or "").split()
        if len(parts) == 2 and all(part.isdigit() for part in parts) and int(parts[1]):
            yield int(parts[0]) / int(parts[1])


def _quotas_v1(root: Path) -> Iterator[float]:
    """cpu.cfs_quota_us (-1 is none) and cpu.cfs_period_us, likewise."""
    for mount in ("cpu", "cpu,cpuacct"):
        for folder in _groups(root, "cpu", root / "sys/fs/cgroup" / mount):
            limit = _read(folder / "cpu.cfs_quota_us") or ""
            period = _read(folder / "cpu.cfs_period_us") or ""
            if limit.isdigit() and period.isdigit() and int(period):
                yield int(limit) / int(period)


def _groups(root: Path, controller: str, mount: Path) -> Iterator[Path]:
    """The folders of the process's group under `mount`, from the inmost out.

    In a container the path in /proc is that of the host; then only the mount itself is there.
    """
    own = Path(_group(root, controller).lstrip("/"))
    for folder in (own, *own.parents):
        if (mount / folder).is_dir():
            yield mount / folder


def _group(root: Path, controller: str) -> str:
    """The path of the group: lines are "number:controllers:path", v2's has no controller."""
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and controller in parts[1].split(","):
            return parts[2]
    return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None
