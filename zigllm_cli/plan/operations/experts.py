"""Mixture of experts: each token goes to a few of many feed-forward layers.

Values between `Route` and `WeightedSum` have `used` parts per token, one for each of its experts.
In which order a step keeps them is not part of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.plan.operations.base import Operation, Value, Vector, Weight


@dataclass(frozen=True, eq=False)
class Stack:
    """Matrices of one type and shape: experts, or heads.

    Attributes:
        name: the tensor's name.
        type: ggml type name.
        rows, columns: of each.
        matrices: uint8 [rows, bytes of a row] each, usually views of the mapped file.
    """

    name: str
    type: str
    rows: int
    columns: int
    matrices: tuple[NDArray[np.uint8], ...]

    @property
    def row_bytes(self) -> int:
        """Bytes from row to row."""
        return int(self.matrices[0].shape[1])

    def slice(self, first: int, rows: int) -> Stack:
        """Some rows of each."""
        name = f"{self.name}[{first}:{first + rows}]"
        matrices = tuple(matrix[first : first + rows] for matrix in self.matrices)
        return Stack(name, self.type, rows, self.columns, matrices)

    def matrix(self, number: int) -> Weight:
        """One of them."""
        name = f"{self.name}[{number}]"
        return Weight(name, self.type, self.rows, self.columns, self.matrices[number])


@dataclass(frozen=True)
class Routing:
    """How tokens choose experts.

    Attributes:
        experts: how many there are.
        used: how many a token goes to.
        scores: of the logits: "softmax", "sigmoid", or "softmax_chosen" (over the chosen ones).
        normalise: whether the weights of a token are divided by their sum.
        factor: of the weights.
        groups: equal parts of the experts, of which only
        groups_used: stay, those whose two best scores have the largest sum.
    """

    experts: int
    used: int
    scores: str = "softmax"
    normalise: bool = False
    factor: float = 1.0
    groups: int = 1
    groups_used: int = 1


@dataclass(frozen=True, eq=False)
class Route(Operation):
    """out = the weights of each token's experts; which they are is the step's own knowledge.

    Attributes:
        logits: one per expert.
        bias: added to the scores for the choice, not for the weights.
    """

    logits: Value
    routing: Routing
    bias: Vector | None = None


@dataclass(frozen=True, eq=False)
class ExpertProduct(Operation):
    """out = W x (+ bias) of each chosen expert.

    Attributes:
        x: a vector per token that goes to all of its experts, or one for each of them.
        bias: float32 [experts, rows].
    """

    weight: Stack
    x: Value
    route: Route
    bias: Vector | None = None

    @property
    def shares_x(self) -> bool:
        """Whether a token's experts all take the same vector."""
        return self.x.width == self.weight.columns


@dataclass(frozen=True, eq=False)
class WeightedSum(Operation):
    """out = sum of weights * parts of y (+ what `out` held, if `add`).

    Attributes:
        weights: one per part.
        route: where the parts come from experts.
    """

    y: Value
    weights: Value
    route: Route | None = None
    add: bool = False
