"""The walk over a plan, and what lowered operations share: buffers, state, tables, cache."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.kernels import state as words
from zigllm_cli.plan.cache import Cache
from zigllm_cli.plan.lowering.call import Call, Mode
from zigllm_cli.plan.lowering.dispatch import calls, reserve
from zigllm_cli.plan.memory import PAD, Buffers, address, aligned
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan
from zigllm_cli.plan.rotation import RopeTables


class Lowering:
    """Lowers the operations of a plan.

    Args:
        plan: the finished plan.
        cache: where keys and values stand.
        batch: most tokens of a step.
        threads: how many will run it.

    Attributes:
        buffers: memory of values, and of what `dispatch.reserve` asks for.
        state, head_state: the block that kernels read (`kernels.state`), for all tokens and for
            those whose logits are wanted.
        rope: tables of angles.
        recorded: which value stands rounded in which buffer of records, while a plan is walked.
    """

    def __init__(self, plan: Plan, cache: Cache, batch: int, threads: int) -> None:
        self.plan, self.cache, self.batch, self.threads = plan, cache, batch, threads
        self.buffers = Buffers()
        self.state = aligned(8 * words.WORDS).view(np.int64)
        self.head_state = aligned(8 * words.WORDS).view(np.int64)
        self.rope = RopeTables(cache.context)
        self.recorded: dict[str, Value] = {}
        self._kept: list[NDArray[np.generic]] = []
        for operation in plan.operations:
            self.buffers.reserve(operation.out.name, 4 * operation.out.width * self.rows)
            reserve(operation, self)
        if self.buffers.has("scratch"):
            for block in (self.state, self.head_state):
                block[words.SCRATCH] = self.buffers.address("scratch")

    @property
    def rows(self) -> int:
        """Rows of every value: the tokens of a step, and what a tile may run over."""
        return self.batch + PAD

    # -------------------------------------------------------------- words of argument blocks

    def address_of(self, value: Value) -> int:
        """Where a value's first row stands."""
        return self.buffers.address(value.name)

    def vector(self, vector: NDArray[np.generic] | None) -> int:
        """Where a vector stands, which is kept as long as this object; 0 for none."""
        if vector is None:
            return 0
        self._kept.append(vector)
        return address(vector)

    def counter(self) -> int:
        """The address of a word of zero that no other operation has."""
        word = aligned(8).view(np.int64)
        self._kept.append(word)
        return address(word)

    def state_of(self, value: Value) -> int:
        """The block of the step's state that is about a value's rows."""
        return address(self.head_state if value.head else self.state)

    # -------------------------------------------------------------- operations

    def lower(self, mode: Mode, head_mode: Mode | None) -> list[Call]:
        """All calls of a step in these modes; without a head mode, those before the logits."""
        self.recorded = {}
        result: list[Call] = []
        for operation in self.plan.operations:
            if not operation.out.head:
                result += calls(operation, self, mode)
            elif head_mode is not None:
                result += calls(operation, self, head_mode)
        result[-1] = replace(result[-1], barrier=True)
        return result
