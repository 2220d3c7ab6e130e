"""Where compiled kernels are kept, and how a stale one is never used.

The folder's name is a hash of everything that the machine code depends on: the source of every
module that a kernel can be made of, the versions of Numba and llvmlite, the CPU and its features
as LLVM names them, and the instruction set. Change any and the folder is another.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from zigllm_cli.atomic import atomic_file
from zigllm_cli.errors import ZigllmError
from zigllm_cli.simd.isa import current, target

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("jit", "kernels", "quants", "simd")
"""Folders whose every file takes part in the hash."""


def root() -> Path:
    """The folder of all caches: `ZIGLLM_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("ZIGLLM_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zigllm"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "zigllm" / "cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "zigllm"


@cache
def fingerprint() -> str:
    """What the machine code of every kernel depends on, as 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(f"{folder}/{path.name}\0".encode())
            digest.update(path.read_bytes())
    facts = (version("numba"), version("llvmlite"), current().name, *target())
    digest.update("\0".join(facts).encode())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """The folder of the kernels that fit this program on this machine."""
    return root() / "kernels" / fingerprint()


def read(name: str) -> bytes | None:
    """Object code kept under a name, or None.

    A file that another user owns is not run.
    """
    path = folder() / f"{name}.o"
    try:
        if hasattr(os, "getuid") and path.stat().st_uid not in (os.getuid(), 0):
            return None
        return path.read_bytes()
    except OSError:
        return None


def write(name: str, code: bytes) -> None:
    """Keep object code; a folder that cannot be written costs only the next start's time."""
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_file(folder() / f"{name}.o") as file:
            file.write(code)
    except (OSError, ZigllmError):
        return
