"""Computing an importance matrix: a text through the model, the inputs of its matrices observed.

In front of every product stands an operation that adds up the squares of what goes in, of each
expert on its own. Products that read the same values share one. The text is cut into chunks as
llama.cpp's tool cuts it: each begins with the model's first token and an empty cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.runner import Runner
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.plan.operations import (
    ExpertProduct,
    ExpertSumSquares,
    HeadProduct,
    Operation,
    Product,
    Route,
    SumSquares,
    tensor_and_rows,
)
from zigllm_cli.plan.plan import Plan
from zigllm_cli.quantization.importance import Importance, Sums
from zigllm_cli.quantization.mixes import OUTPUT

Doubles = NDArray[np.float64]
AnyProduct = Product | ExpertProduct | HeadProduct


@dataclass
class Observation:
    """What goes into some matrices, or into some stacks of them.

    Attributes:
        names: of the tensors.
        sums: float64 [matrices, columns].
        counts: int64 [matrices], of rows that went to each; zeros where all rows go to all.
    """

    names: list[str]
    sums: Doubles
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, matrices: int, columns: int) -> Observation:
        """Nothing yet."""
        return cls([], np.zeros((matrices, columns)), np.zeros(matrices, np.int64))


class ObservingRunner(Runner):
    """A runner that adds up the squares of what goes into every matrix of the layers.

    Args:
        process_output: also what goes into output.weight.

    Attributes:
        observations: one for each value that goes into matrices.
    """

    def __init__(self, file: GGUFFile, *, process_output: bool = False, **options: object) -> None:
        self.observations: list[Observation] = []
        output = "logits" if process_output else "hidden"
        super().__init__(file, output=output, **options)  # type: ignore[arg-type]

    def _plan(self, output: str) -> Plan:
        plan = super()._plan(output)
        self.observations = observe(plan, process_output=output == "logits")
        return plan


def observe(plan: Plan, *, process_output: bool = False) -> list[Observation]:
    """Put an observation in front of every product of a plan; what they will have seen."""
    found: list[Observation] = []
    operations: list[Operation] = []
    seen: dict[tuple[int, Route | None], Observation] = {}
    for operation in plan.operations:
        if isinstance(operation, AnyProduct) and _wanted(operation, process_output):
            key = operation.x.number, getattr(operation, "route", None)
            if key not in seen:
                seen[key], look = observing(operation)
                found.append(seen[key])
                operations.append(look)
            seen[key].names.append(tensor_name(operation))
        operations.append(operation)
        # what a value held that is written to is no longer what was observed
        seen = {key: one for key, one in seen.items() if key[0] != operation.out.number}
    plan.operations = operations
    return found


def _wanted(product: AnyProduct, process_output: bool) -> bool:
    name = tensor_name(product)
    return name.startswith("blk.") or (process_output and name == OUTPUT)


def observing(product: AnyProduct) -> tuple[Observation, Operation]:
    """Where the inputs of a product are summed up, and the operation that does it."""
    x = product.x
    if isinstance(product, ExpertProduct):
        found = Observation.of(len(product.weight.matrices), product.weight.columns)
        return found, ExpertSumSquares(x, "observe", product.route, found.sums, found.counts)
    heads = len(product.weight.matrices) if isinstance(product, HeadProduct) else 1
    found = Observation.of(heads, x.width // heads)
    return found, SumSquares(x, "observe", found.sums)


def tensor_name(product: AnyProduct) -> str:
    """The tensor of a product, which may use only some of its rows."""
    return tensor_and_rows(product.weight.name)[0]


def chunks_of(tokens: list[int], size: int, first: int | None) -> Iterator[list[int]]:
    """Whole chunks of `size` tokens; the first of each is replaced by `first`, if given."""
    for start in range(0, len(tokens) - size + 1, size):
        chunk = tokens[start : start + size]
        yield chunk if first is None else [first, *chunk[1:]]


def importance_of(seen: Observation, rows: int) -> dict[str, Sums]:
    """By tensor, what was seen of `rows` tokens."""
    sums = seen.sums.astype(np.float32).reshape(-1)
    counts = seen.counts if seen.counts.any() else np.full_like(seen.counts, rows)
    return {name: Sums(sums.copy(), counts.copy()) for name in seen.names}


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
        entries = _with_observed(runner, into.entries, len(chunk))
        into.entries, into.chunks = entries, into.chunks + 1  # at once, whenever Ctrl-C comes
        if done:
            done(into)
    return into


def _with_observed(runner: ObservingRunner, old: dict[str, Sums], rows: int) -> dict[str, Sums]:
    """Entries with what was observed added; the observations begin anew."""
    entries = dict(old)
    for seen in runner.observations:
        if not np.isfinite(seen.sums).all():
            raise InputError(f"what goes into {seen.names[0]} is not finite; the model is broken")
        for name, new in importance_of(seen, rows).items():
            if name in old:
                new.add(old[name])
            entries[name] = new
        seen.sums[:], seen.counts[:] = 0, 0
    return entries
