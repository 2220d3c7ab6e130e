"""Where compiled kernels are kept, and how a stale or damaged one is never used.

The folder's name is a hash of everything that the machine code depends on: the source of every
module that a kernel can be made of, the versions of Numba and llvmlite, the CPU and its features
as LLVM names them, and the instruction set. Change any and the folder is another.

A file is an object file and, behind it, where tools that read object files do not look, the
SHA-256 of the kernel's name and code: LLVM takes a process down that loads a damaged one.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from zigllm_cli.simd.isa import current, target

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("gguf/types.py", "jit/*.py", "kernels/*.py", "quants/**/*.py", "simd/*.py")
"""Files that take part in the hash."""

DIGEST_BYTES = hashlib.sha256().digest_size


def root() -> Path:
    """The folder of all caches: `ZIGLLM_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("ZIGLLM_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return _user_folder()
    except RuntimeError:  # a user without a home
        return Path(tempfile.gettempdir()) / f"zigllm-{os.getuid()}"


def _user_folder() -> Path:
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
    for pattern in SOURCES:
        for path in sorted(PACKAGE.glob(pattern)):
            source = path.read_bytes()
            digest.update(f"{path.parent.name}/{path.name} {len(source)}\0".encode())
            digest.update(source)
    facts = (version("numba"), version("llvmlite"), current().name, *target())
    digest.update("\0".join(facts).encode())
    return digest.hexdigest()[:16]


def folder() -> Path:
    """The folder of the kernels that fit this program on this machine."""
    return root() / "kernels" / fingerprint()


def read(name: str) -> bytes | None:
    """Object code kept under a name, or None where there is none to be trusted.

    A file that another user owns is not run, nor one that is not whole.
    """
    try:
        with (folder() / f"{name}.o").open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid not in (os.getuid(), 0):
                return None
            content = file.read()
    except OSError:
        return None
    code, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    return code if digest == _digest(name, code) else None


def write(name: str, code: bytes) -> None:
    """Keep object code; a folder that cannot be written costs only the next start's time.

    Nothing waits for the disk: a file that a crash leaves torn does not match its digest.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = folder() / f"{name}.{os.getpid()}.part"
        unfinished.write_bytes(code + _digest(name, code))
        unfinished.replace(folder() / f"{name}.o")
    except OSError:
        return


def _digest(name: str, code: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + code).digest()
