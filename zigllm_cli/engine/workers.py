"""The threads that run a plan: the caller is the first, the others wait for work.

A worker that finds nothing to do for some milliseconds goes to sleep; while a text is being
generated it never does. Each thread gets a core of its own for the time of a step: left to the
scheduler, two were seen on one core for a whole run.
"""

from __future__ import annotations

import ctypes
import os
import threading
from types import TracebackType

import numpy as np

from zigllm_cli.jit import Kernel, address, call
from zigllm_cli.kernels.sync import ASLEEP, NEWEST, PER_THREAD, sync_bytes
from zigllm_cli.plan.memory import address as memory_address
from zigllm_cli.plan.memory import aligned

SPINS = 200_000
"""Looks in vain before a worker sleeps: some milliseconds."""

EXECUTE, SERVE = Kernel("execute"), Kernel("serve")


class Workers:
    """`threads` threads, this one included.

    Use as a context manager or call `close`: workers are daemons, but they hold memory.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._sync = aligned(sync_bytes(threads))
        self._sync[:] = 0
        self._words = self._sync.view(np.int64)
        self._plan = aligned(64).view(np.int64)
        self._plan[:] = (0, 0, memory_address(self._sync), 0, 0, _c_function("sched_yield"), 0, 0)
        self._serve_args = np.array(
            [memory_address(self._sync), memory_address(self._plan), address(EXECUTE), SPINS],
            np.int64,
        )
        self._execute = call(EXECUTE)
        self._wake = [threading.Semaphore(0) for _ in range(threads)]
        self._stop = False
        self._cores = _own_cores(threads)
        self._pool = [
            threading.Thread(target=self._serve, args=(t,), daemon=True, name=f"zigllm-{t}")
            for t in range(1, threads)
        ]
        for thread in self._pool:
            thread.start()

    def run(self, table: int, calls: int, times: int = 0) -> None:
        """Run a table of calls on all threads; back when all are done.

        Args:
            table: address of int64 [calls, 3].
            calls: how many.
            times: address of int64 [calls + 1, 2] for the time behind each call, or 0.
        """
        self._plan[0], self._plan[1] = table, calls
        self._plan[3] = _c_function("clock_gettime") if times else 0
        self._plan[4] = times
        before = _pin(self._cores[0]) if self._cores else None
        try:
            if self.threads > 1:
                self._words[NEWEST // 8] += 1
                for t in range(1, self.threads):
                    if self._words[(ASLEEP + PER_THREAD * t) // 8]:
                        self._wake[t].release()
            self._execute(memory_address(self._plan), 0, self.threads)
        finally:
            if before is not None:
                os.sched_setaffinity(0, before)

    def _serve(self, thread: int) -> None:
        if self._cores:
            _pin(self._cores[thread])
        serve, flag = call(SERVE), (ASLEEP + PER_THREAD * thread) // 8
        while True:
            serve(memory_address(self._serve_args), thread, self.threads)
            self._wake[thread].acquire()
            if self._stop:
                return
            self._words[flag] = 0

    def close(self) -> None:
        """Let the workers end."""
        self._stop = True
        for semaphore in self._wake:
            semaphore.release()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _c_function(name: str) -> int:
    """The address of a function of the C library; 0 where it has none of that name."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _own_cores(threads: int) -> list[int]:
    """A core for each thread, or none where there are too few or the system cannot say."""
    if threads == 1 or not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return cores[:threads] if len(cores) >= threads else []


def _pin(core: int) -> set[int] | None:
    """Move the calling thread to a core; what it was allowed before, or None if it cannot."""
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
    except OSError:
        return None
    return before
