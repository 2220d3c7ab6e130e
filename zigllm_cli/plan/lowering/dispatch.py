"""Which function lowers which kind of operation."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import TYPE_CHECKING

from zigllm_cli.plan.operations import Operation

if TYPE_CHECKING:
    from zigllm_cli.plan.lowering.call import Call, Mode
    from zigllm_cli.plan.lowering.lowering import Lowering


@singledispatch
def calls(operation: Operation, lowering: Lowering, mode: Mode) -> Iterable[Call]:
    """The calls of one operation."""
    raise NotImplementedError(type(operation).__name__)


@singledispatch
def reserve(operation: Operation, lowering: Lowering) -> None:
    """Ask for the memory that an operation needs besides its value: none, as a rule."""
