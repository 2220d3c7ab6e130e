"""The batch's (token, expert) pairs sorted by expert: what each expert has to do, in one run.

    args  0 chosen (int64 [n, used])    1 used per token
          2 experts                     3 runs
          4 sources (int64 [pairs]): for each place of the sorted order, the pair that stands there
          5 places (int64 [pairs]): for each pair, its place
          6 state

`runs` is where products read it:

    int64  number of runs, number of pairs, then per run: expert, its first place, number of pairs

A run whose number of pairs is negative has one per token of the step. Within a run pairs stand
in the order of the tokens. One thread does it all: a pair takes some nanoseconds.
"""

from numba import njit

from zigllm_cli.kernels.state import TOKENS
from zigllm_cli.simd.memory import load_i64, stack_room, store_i64

PAIRS, LIST = 8, 16
"""Bytes from the start of the runs to each part."""

FIRST, COUNT, RUN = 8, 16, 24
"""Bytes within a run, and of one."""

MOST_EXPERTS = 1024
"""Of one layer."""

room_for_starts = stack_room(8 * MOST_EXPERTS)


def build():
    """The kernel."""

    @njit(error_model="numpy")
    def expert_runs(args, thread, threads):
        if thread:
            return
        chosen, experts, runs = load_i64(args), load_i64(args + 16), load_i64(args + 24)
        sources, places = load_i64(args + 32), load_i64(args + 40)
        pairs = load_i64(load_i64(args + 48) + 8 * TOKENS) * load_i64(args + 8)
        starts = room_for_starts()
        for e in range(experts):
            store_i64(starts + 8 * e, 0)
        for i in range(pairs):
            e = starts + 8 * load_i64(chosen + 8 * i)
            store_i64(e, load_i64(e) + 1)
        run, start = runs + LIST, 0
        for e in range(experts):
            count = load_i64(starts + 8 * e)
            if count:
                store_i64(run, e)
                store_i64(run + FIRST, start)
                store_i64(run + COUNT, count)
                run += RUN
            store_i64(starts + 8 * e, start)
            start += count
        store_i64(runs, (run - runs - LIST) // RUN)
        store_i64(runs + PAIRS, pairs)
        for i in range(pairs):
            e = starts + 8 * load_i64(chosen + 8 * i)
            place = load_i64(e)
            store_i64(sources + 8 * place, i)
            store_i64(places + 8 * i, place)
            store_i64(e, place + 1)

    return expert_runs
