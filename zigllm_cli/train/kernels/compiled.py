"""The one decorator of the kernels: how they are compiled, and where the machine code is kept.

Numba looks only at the file of a function when it asks whether cached code is stale; a kernel that
calls another module's function would keep the old one. The folder is named by a hash of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit

from zigllm_cli.jit.cache import root
from zigllm_cli.simd.isa import prepare_numba

FAST = {"nsz", "arcp", "contract", "reassoc"}
"""Sums may be reordered, so that they are vectorised; infinities and NaN keep their meaning."""


@cache
def _folder() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return str(root() / "train" / digest.hexdigest()[:16])


def is_compiled() -> bool:
    """Whether machine code is kept already, at least of some kernels."""
    return Path(_folder()).is_dir()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called with each kind of arguments."""
    return _compiled(function, FAST)


def exact(function: Callable[..., Any]) -> Any:
    """The same, with arithmetic in the order in which it is written."""
    return _compiled(function, {"contract"})


def _compiled(function: Callable[..., Any], fast: Any) -> Any:
    prepare_numba()
    before, config.CACHE_DIR = config.CACHE_DIR, _folder()
    try:
        return njit(nogil=True, cache=True, fastmath=fast, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before
