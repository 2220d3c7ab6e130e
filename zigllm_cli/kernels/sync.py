"""The block of memory through which threads meet; every word on a cache line of its own.

byte 0        threads that have arrived at the barrier
byte 64       barriers passed
byte 128      number of the newest step
byte 192 + 128 * thread        1 while that worker sleeps
byte 192 + 128 * thread + 64   the last step that it saw, then the core it last ran on
"""

PASSED = 64
NEWEST = 128
ASLEEP = 192
PER_THREAD = 128
SEEN = 64
CORE = 72


def sync_bytes(threads: int) -> int:
    """Bytes of the block."""
    return ASLEEP + PER_THREAD * threads
