"""A worker thread's loop: wait for the next plan, run it, wait again; give up after a while.

Waking a sleeping thread takes longer than many steps of a small model, so workers stay awake
between steps. Back in Python after `SPINS` looks in vain, the thread sleeps.

    args  0 sync (`execute`)            1 args of `execute`
          2 address of `execute`        3 spins before giving up

    sync  byte 128: number of the newest step
          byte 192 + 128 * thread: 1 while that worker sleeps; 64 bytes on: the last step it saw
"""

from numba import njit

from zigllm_cli.kernels.execute import call_kernel
from zigllm_cli.kernels.sync import ASLEEP, NEWEST, PER_THREAD, SEEN
from zigllm_cli.simd.memory import atomic_add, atomic_load, load_i64, store_i64
from zigllm_cli.simd.wait import pause


def build():
    """The kernel that a worker thread runs."""

    @njit(error_model="numpy")
    def serve(args, thread, threads):
        sync, plan, execute = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        limit = load_i64(args + 24)
        flag = sync + ASLEEP + PER_THREAD * thread
        seen = load_i64(flag + SEEN)
        spins = 0
        while True:
            if atomic_load(sync + NEWEST) != seen:
                seen += 1
                store_i64(flag + SEEN, seen)
                call_kernel(execute, plan, thread, threads)
                spins = 0
                continue
            spins += 1
            if spins > limit:
                atomic_add(flag, 1)
                if atomic_load(sync + NEWEST) == seen:
                    return
                atomic_add(flag, -1)
                spins = 0
            pause()

    return serve
