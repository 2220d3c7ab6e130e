"""How work is shared out among threads: evenly beforehand, or piece by piece as they come free."""

from numba import njit

from zigllm_cli.simd.memory import atomic_add, atomic_store


@njit(forceinline=True)
def share(count, unit, thread, threads):
    """First and last + 1 of this thread's contiguous share of `count`, in multiples of `unit`."""
    units = (count + unit - 1) // unit
    first = units * thread // threads * unit
    last = units * (thread + 1) // threads * unit
    return min(first, count), min(last, count)


@njit(forceinline=True)
def claim(counter, pieces, threads):
    """The next piece of work of those that nobody has, or a number >= `pieces`: none is left.

    The counter is never set back: every thread asks until it gets nothing, so a run of the
    kernel takes exactly `pieces + threads` tickets, and the remainder numbers them anew.
    """
    return atomic_add(counter, 1) % (pieces + threads)


@njit(forceinline=True)
def claim_any(counter, pieces, threads):
    """As `claim`, where the number of pieces changes from step to step: the last ticket of a run
    of the kernel, behind which nobody asks any more, sets the counter back."""
    ticket = atomic_add(counter, 1)
    if ticket == pieces + threads - 1:
        atomic_store(counter, 0)
    return ticket
