"""Low-rank adapters in a plan: behind a product W x stands B (A x), added to what it wrote.

    adapt(plan, {"blk.0.attn_q.weight": LowRank(a, b), ...})

No family and no kernel knows of it: A and B are two more matrices of floats. Hu et al. 2021 (LoRA).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.plan.operations import (
    Add,
    Embed,
    ExpertProduct,
    Operation,
    Product,
    Stack,
    Value,
    Weight,
    tensor_and_rows,
)
from zigllm_cli.plan.plan import Plan

Floats = NDArray[np.float32]

RANK_STEP = 16
"""Ranks are filled up to a multiple of it with zeros, so that rows of B are whole vectors."""

LOW, DIFFERENCE = "lora", "lora difference"
"""Names of the values A x and, where it cannot be added in place, B A x."""

TABLE = "token_embd.weight"
"""Its A has a row for each token, not for each rank; as matrix of the logits it stays as it is."""


Changeable = Product | ExpertProduct | Embed


@dataclass(frozen=True, eq=False)
class LowRank:
    """The change B A of one tensor, or one for each of its experts.

    Attributes:
        a: float32 [..., rank, columns].
        b: float32 [..., rows, rank], the adapter's scale in it.
    """

    a: Floats
    b: Floats

    def rows(self, part: slice) -> LowRank:
        """The change of some rows."""
        return LowRank(self.a, self.b[..., part, :])

    def joined(self, other: LowRank) -> LowRank:
        """Both changes, as one of the sum of their ranks."""
        a = np.concatenate([self.a, other.a], axis=-2)
        return LowRank(a, np.concatenate([self.b, other.b], axis=-1))

    def padded(self) -> LowRank:
        """The same change, its rank a multiple of `RANK_STEP`."""
        missing = -self.a.shape[-2] % RANK_STEP
        if not missing:
            return self
        still = [(0, 0)] * (self.a.ndim - 2)
        a = np.pad(self.a, [*still, (0, missing), (0, 0)])
        return LowRank(a, np.pad(self.b, [*still, (0, 0), (0, missing)]))


def adapt(plan: Plan, changes: Mapping[str, LowRank]) -> None:
    """Put the changes of tensors into a plan.

    Raises:
        UnsupportedError: a tensor is used in a way that takes no change.
    """
    operations: list[Operation] = []
    used: set[str] = set()
    for operation in plan.operations:
        operations.append(operation)
        if not isinstance(operation, Changeable):
            continue
        name, part = tensor_and_rows(operation.weight.name)
        if name in changes and (name == TABLE) == isinstance(operation, Embed):
            used.add(name)
            operations += _change(operation, changes[name].padded().rows(part))
    for name in sorted(changes.keys() - used):
        raise UnsupportedError(
            f"an adapter changes {name}, which this program uses in a way of its own: merge it with"
            " 'zigllm convert MODEL --merge-lora ADAPTER' instead"
        )
    plan.operations = operations


def _change(operation: Changeable, change: LowRank) -> Iterator[Operation]:
    rank, out, full = change.a.shape[-2], operation.out, operation.weight.name
    if isinstance(operation, Product):
        low = Value(LOW, rank, operation.x.head)
        yield Product(low, LOW, _matrix(f"{full}.lora_a", change.a), operation.x)
        yield Product(out, LOW, _matrix(f"{full}.lora_b", change.b), low, None, add=True)
    elif isinstance(operation, Embed):
        low = Value(LOW, rank, out.head)
        yield Embed(low, LOW, _matrix(f"{full}.lora_a", change.a.T), operation.scale)
        yield Product(out, LOW, _matrix(f"{full}.lora_b", change.b), low, None, add=True)
    elif isinstance(operation, ExpertProduct):
        route = operation.route
        parts = route.routing.used
        low = Value(LOW, parts * rank, operation.x.head)
        difference = Value(DIFFERENCE, out.width, out.head)
        yield ExpertProduct(low, LOW, _stack(f"{full}.lora_a", change.a), operation.x, route)
        yield ExpertProduct(difference, LOW, _stack(f"{full}.lora_b", change.b), low, route)
        yield Add(out, LOW, difference)


def _matrix(name: str, values: Floats) -> Weight:
    return Weight(name, "F32", values.shape[0], values.shape[1], _bytes(values))


def _stack(name: str, values: Floats) -> Stack:
    matrices = tuple(_bytes(matrix) for matrix in values)
    return Stack(name, "F32", values.shape[1], values.shape[2], matrices)


def _bytes(values: Floats) -> NDArray[np.uint8]:
    """uint8 [rows, bytes of a row]."""
    return np.ascontiguousarray(values, np.float32).view(np.uint8)
