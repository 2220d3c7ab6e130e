"""Tells waiting workers that there is a step to run.

    args  0 sync (`kernels.sync`)

A plain store would not do: the caller looks right afterwards which workers sleep, and a look that
overtakes the store could miss one that is just falling asleep and would never be woken.
"""

from numba import njit

from zigllm_cli.kernels.sync import NEWEST
from zigllm_cli.simd.memory import atomic_add, load_i64


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def announce(args, thread, threads):
        atomic_add(load_i64(args) + NEWEST, 1)

    return announce
