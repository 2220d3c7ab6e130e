"""The threads that run a plan: the caller is the first, the others wait for work.

A worker that finds nothing to do for some milliseconds goes to sleep; while a text is being
generated it never does. Threads are not bound to cores: beside one other busy process that took
decoding from 64 to 17 tokens/s (1.1 B, Q4_0), since a thread could not leave the core that it
shared. But where two are found on one core again and again, as was once seen for a whole run,
they are moved apart.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from types import TracebackType

import numpy as np

from zigllm_cli.jit import Kernel, address, call
from zigllm_cli.kernels.sync import ASLEEP, CORE, PER_THREAD, sync_bytes
from zigllm_cli.plan.memory import address as memory_address
from zigllm_cli.plan.memory import aligned

SPINS = 200_000
"""Looks in vain before a worker sleeps: some milliseconds."""

PATIENCE = 3
"""Steps in a row on one core before threads are moved."""

ANNOUNCE, EXECUTE, SERVE = Kernel("announce"), Kernel("execute"), Kernel("serve")
KERNELS = (ANNOUNCE, EXECUTE, SERVE)
"""What any model needs."""


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
        functions = (_c_function("sched_yield"), _c_function("sched_getcpu"))
        self._plan[:] = (0, 0, memory_address(self._sync), 0, 0, *functions, 0)
        self._serve_args = np.array(
            [memory_address(self._sync), memory_address(self._plan), address(EXECUTE), SPINS],
            np.int64,
        )
        self._announce, self._execute = call(ANNOUNCE), call(EXECUTE)
        self._wake = [threading.Semaphore(0) for _ in range(threads)]
        self._stop = False
        self._together = 0
        self._can_part = bool(functions[1]) and len(_cores()) >= threads > 1
        self._ids = [0] * threads
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
        if self.threads > 1:
            self._announce(memory_address(self._serve_args), 0, self.threads)
            for t in range(1, self.threads):
                if self._words[(ASLEEP + PER_THREAD * t) // 8]:
                    self._wake[t].release()
        self._execute(memory_address(self._plan), 0, self.threads)
        if self._can_part:
            self._keep_apart()

    def _keep_apart(self) -> None:
        """Give each thread another core where two have shared one for `PATIENCE` steps."""
        cores = self._words[(ASLEEP + CORE) // 8 :: PER_THREAD // 8][: self.threads]
        self._together = self._together + 1 if len(set(cores.tolist())) < self.threads else 0
        if self._together < PATIENCE:
            return
        self._together = 0
        allowed = _cores()
        for thread, core in zip(self._ids, sorted(allowed), strict=False):
            with suppress(OSError):  # it stays where it is
                os.sched_setaffinity(thread, {core})
                os.sched_setaffinity(thread, allowed)

    def _serve(self, thread: int) -> None:
        self._ids[thread] = threading.get_native_id()
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


def _cores() -> set[int]:
    """The cores that this thread may run on; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _c_function(name: str) -> int:
    """The address of a function of the C library; 0 where it has none of that name."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
