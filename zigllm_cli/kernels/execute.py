"""Runs a plan: every thread walks the same table of kernels, a barrier behind each.

    args  0 table: [kernel, its args, whether a barrier follows] per call
          1 calls                       2 sync (see below)
          3 address of the C function clock_gettime, or 0
          4 where thread 0 writes the time behind each barrier: int64 [calls + 1, 2]
          5 address of the C function sched_yield, or 0
          6 address of the C function sched_getcpu, or 0

`sync` is laid out in `sync.py`.

A barrier spins `SPINS` times and then gives its core away between looks, so that more threads
than cores only cost time.
"""

from llvmlite import ir
from numba import njit, types

from zigllm_cli.kernels.sync import ASLEEP, CORE, PASSED, PER_THREAD
from zigllm_cli.simd.emit import emit
from zigllm_cli.simd.memory import atomic_add, atomic_load, atomic_store, load_i64, store_i64
from zigllm_cli.simd.vector import I32, I64
from zigllm_cli.simd.wait import pause

SPINS = 20_000


@emit(types.void, *[types.int64] * 4)
def call_kernel(b, kernel, args, thread, threads):
    """Call a C function of three 64-bit words by address."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 3).as_pointer()
    b.call(b.inttoptr(kernel, kind), [args, thread, threads])


@emit(types.void, types.int64, types.int64)
def call_clock(b, function, out):
    """clock_gettime(CLOCK_MONOTONIC, out)."""
    kind = ir.FunctionType(I32, [I32, I64]).as_pointer()
    b.call(b.inttoptr(function, kind), [ir.Constant(I32, 1), out])


@emit(types.int64, types.int64)
def call_plain(b, function):
    """A C function `int f(void)`: sched_yield, sched_getcpu."""
    kind = ir.FunctionType(I32, []).as_pointer()
    return b.sext(b.call(b.inttoptr(function, kind), []), I64)


@njit(forceinline=True)
def barrier(sync, threads, generation, give_away):
    """Wait until all threads are here."""
    if atomic_add(sync, 1) == threads - 1:
        atomic_store(sync, 0)
        atomic_store(sync + PASSED, generation + 1)
        return
    spins = 0
    while atomic_load(sync + PASSED) == generation:
        spins += 1
        if spins < SPINS:
            pause()
        elif give_away:
            call_plain(give_away)


def build():
    """The kernel that runs the other kernels."""

    @njit(error_model="numpy")
    def execute(args, thread, threads):
        table, calls, sync = load_i64(args), load_i64(args + 8), load_i64(args + 16)
        clock, times, give_away = load_i64(args + 24), load_i64(args + 32), load_i64(args + 40)
        generation, where = atomic_load(sync + PASSED), load_i64(args + 48)
        if where:
            store_i64(sync + ASLEEP + PER_THREAD * thread + CORE, call_plain(where))
        if clock and thread == 0:
            call_clock(clock, times)
        for i in range(calls):
            row = table + 24 * i
            call_kernel(load_i64(row), load_i64(row + 8), thread, threads)
            if threads > 1 and load_i64(row + 16):
                barrier(sync, threads, generation, give_away)
                generation += 1
            if clock and thread == 0:
                call_clock(clock, times + 16 * (i + 1))

    return execute
