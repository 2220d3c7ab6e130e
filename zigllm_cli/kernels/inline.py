"""How the parts of a large kernel are declared, so that compiling it stays quick.

Numba compiles every function that it meets to machine code of its own, with two entries for
Python that no part of a kernel ever uses. `part` leaves those out and inlines in LLVM. `section`
inlines before anything is compiled: for the few large functions that are called from one place,
whose code LLVM would else optimise again at each level of calls. Together they halve the time to
compile `attention` (6.7 s to 3.2 s).
"""

from numba import njit

part = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
section = njit(inline="always")
