"""This machine's memory. Knows Linux's /proc and otherwise asks POSIX."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def machine_memory() -> tuple[int | None, int | None]:
    """Bytes of memory: (all, available now); None for what the system does not tell."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(rest.split()[0]) * 1024
    if "MemTotal" not in found and hasattr(os, "sysconf"):
        with contextlib.suppress(OSError, ValueError):
            found["MemTotal"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found.get("MemTotal"), found.get("MemAvailable")


def memory_limit() -> int | None:
    """Bytes that this process could have: the machine's memory, or its control group's less."""
    total, _ = machine_memory()
    limits = [total] if total else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text("ascii")))
    return min(limits, default=None)
