"""Native code of training: plain loops that Numba compiles for float32 and float64 alike.

Rows of a matrix are tokens (N), columns channels (C); every array is contiguous. A kernel runs on
one thread; the trainer gives each thread sequences of its own. `accumulate` says whether a gradient
is added to what is there, or replaces it.
"""
