"""Apply activation kernels to sixteen numbers, in a process of its own.

    python run_activations.py NAME...

Prints a JSON object: `numba`, whether Numba was imported, and the results by name.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from zigllm_cli.jit import Kernel, call


def apply(name: str) -> list[float]:
    """The activation of -4, -3.5, ... 3.5."""
    x = np.arange(-4, 4, 0.5, dtype=np.float32)
    out, tokens = np.full_like(x, np.nan), np.array([1], np.int64)
    addresses = [array.ctypes.data for array in (x, x, out)]
    args = np.array([*addresses, len(x), x.nbytes, tokens.ctypes.data], np.int64)
    call(Kernel("silu_mul", (name, 0)))(args.ctypes.data, 0, 1)
    return [float(value) for value in out]


results = {name: apply(name) for name in sys.argv[1:]}
print(json.dumps({"numba": "numba" in sys.modules, **results}))
