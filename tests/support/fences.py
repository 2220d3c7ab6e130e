"""Memory with nothing before or behind it: whoever reads a byte too much ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def fenced(data: Array, at_end: bool) -> Array:
    """The same bytes in pages of their own, flush with an inaccessible page before or behind."""
    page = mmap.PAGESIZE
    size = -(-data.nbytes // page) * page
    area = mmap.mmap(-1, size + 2 * page)
    whole = np.frombuffer(area, np.uint8)
    start = page + (size - data.nbytes if at_end else 0)
    whole[start : start + data.nbytes] = data.reshape(-1)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for fence in (0, page + size):
        address = ctypes.c_void_p(whole.ctypes.data + fence)
        assert protect(address, ctypes.c_size_t(page), 0) == 0
    return whole[start : start + data.nbytes].reshape(data.shape)
