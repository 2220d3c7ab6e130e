"""Where the bytes of a model are: in the file's map, in memory of our own, kept from swapping."""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np

from zigllm_cli.errors import InputError, MemoryLimitError, unreadable
from zigllm_cli.gguf import GGUFFile

PIECE = 1 << 24


def read_whole(file: GGUFFile) -> None:
    """Replace the maps by copies in memory: the file may then change or go away.

    Raises:
        InputError: a shard became shorter, or cannot be read any more.
        MemoryLimitError: there is no memory for it.
    """
    for path, header in zip(file.paths, file.headers, strict=True):
        size = header.layout.size
        try:
            room = mmap.mmap(-1, size)
            with path.open("rb", buffering=0) as source, memoryview(room) as view:
                for start in range(0, size, PIECE):
                    with view[start : start + PIECE] as piece:
                        if source.readinto(piece) != len(piece):
                            raise InputError(f"{path} became shorter while it was read")
        except MemoryError:
            raise MemoryLimitError(f"{path} needs {size} bytes of memory with --no-mmap") from None
        except OSError as error:
            raise unreadable(path, error) from None
        header.layout.buffer = room


def lock(file: GGUFFile) -> None:
    """Keep the model in memory: pages are read now, and never swapped out.

    Raises:
        MemoryLimitError: the system does not allow it.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        mlock = libc.mlock
    except (OSError, TypeError, AttributeError):
        raise MemoryLimitError("--mlock does not work on this system; leave it out") from None
    mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    for path, header in zip(file.paths, file.headers, strict=True):
        data = np.frombuffer(header.layout.buffer, np.uint8)
        if mlock(data.ctypes.data, data.nbytes):
            reason = os.strerror(ctypes.get_errno()).lower()
            raise MemoryLimitError(
                f"cannot lock the {data.nbytes} bytes of {path} in memory: {reason}; "
                "raise the limit (ulimit -l) or leave out --mlock"
            )
