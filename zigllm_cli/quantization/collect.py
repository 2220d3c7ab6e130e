"""Computing an importance matrix: a text through the model, the inputs of its matrices observed.

In front of every product stands an operation that adds up the squares of what goes in. Products
that read the same values share one. The text is cut into chunks as llama.cpp's tool cuts it: each
begins with the model's first token and an empty cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.plan.operations import Operation, Product, SumSquares, Value
from zigllm_cli.plan.plan import Plan
from zigllm_cli.quantization.importance import Importance, Sums
from zigllm_cli.quantization.mixes import OUTPUT

Doubles = NDArray[np.float64]


@dataclass
class Observation:
    """What goes into some matrices.

    Attributes:
        names: of the tensors.
        sums: float64 [columns].
    """

    names: list[str] = field(default_factory=list)
    sums: Doubles = field(default_factory=lambda: np.zeros(0))


class ObservingRunner(Runner):
    """A runner that adds up the squares of what goes into every matrix of the layers.

    Attributes:
        observations: one for each value that goes into matrices.
    """

    process_output = False

    def __init__(self, file: GGUFFile, *, process_output: bool = False, **options: object) -> None:
        self.process_output = process_output
        self.observations: list[Observation] = []
        output = "logits" if process_output else "hidden"
        super().__init__(file, output=output, **options)  # type: ignore[arg-type]

    def _plan(self, output: str) -> Plan:
        plan = super()._plan(output)
        plan.operations = list(self._observed(plan.operations))
        return plan

    def _observed(self, operations: list[Operation]) -> Iterator[Operation]:
        seen: dict[int, Observation] = {}
        for operation in operations:
            if isinstance(operation, Product) and self._wanted(operation):
                x = operation.x
                if x.number not in seen:
                    seen[x.number] = Observation(sums=np.zeros(x.width))
                    self.observations.append(seen[x.number])
                    yield SumSquares(x, "observe", seen[x.number].sums)
                seen[x.number].names.append(tensor_name(operation))
            yield operation
            self._forget(seen, operation.out)

    @staticmethod
    def _forget(seen: dict[int, Observation], out: Value) -> None:
        """A value that is written to is no longer what was observed."""
        seen.pop(out.number, None)

    def _wanted(self, product: Product) -> bool:
        name = tensor_name(product)
        return name.startswith("blk.") or (self.process_output and name == OUTPUT)


def tensor_name(product: Product) -> str:
    """The tensor of a product, which may use only some of its rows."""
    return product.weight.name.partition("[")[0]


def chunks_of(tokens: list[int], size: int, first: int | None) -> Iterator[list[int]]:
    """Whole chunks of `size` tokens; the first of each is replaced by `first`, if given."""
    for start in range(0, len(tokens) - size + 1, size):
        chunk = tokens[start : start + size]
        yield chunk if first is None else [first, *chunk[1:]]


def collect(
    runner: ObservingRunner,
    chunks: Iterator[list[int]],
    into: Importance,
    done: Callable[[Importance], None] | None = None,
) -> Importance:
    """Run chunks and add what they show to `into`; `done` is told after each.

    Raises:
        InputError: the model computes values that are not finite.
    """
    for chunk in chunks:
        runner.truncate(0, 0)
        for start in range(0, len(chunk), runner.batch):
            part = chunk[start : start + runner.batch]
            runner.step(Batch.of(part, start, 0, range(len(part))))
        _take(runner, into, len(chunk))
        into.chunks += 1
        if done:
            done(into)
    return into


def _take(runner: ObservingRunner, into: Importance, rows: int) -> None:
    """Move what was observed into the matrix."""
    for seen in runner.observations:
        if not np.isfinite(seen.sums).all():
            raise InputError(f"what goes into {seen.names[0]} is not finite; the model is broken")
        sums = seen.sums.astype(np.float32)
        for name in dict.fromkeys(seen.names):
            new = Sums(sums.copy(), np.array([rows]))
            if name in into.entries:
                into.entries[name].add(new)
            else:
                into.entries[name] = new
        seen.sums[:] = 0
