"""How work is shared out among threads."""

from numba import njit


@njit(forceinline=True)
def share(count, unit, thread, threads):
    """First and last + 1 of this thread's contiguous share of `count`, in multiples of `unit`."""
    units = (count + unit - 1) // unit
    first = units * thread // threads * unit
    last = units * (thread + 1) // threads * unit
    return min(first, count), min(last, count)
