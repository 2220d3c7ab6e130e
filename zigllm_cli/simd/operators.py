"""Python's operators on vectors: `a + b`, `a & b`, `v >> 4`, lane by lane.

Both sides have the same type; a shift takes a constant for all lanes (`shift_right(4)`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin

from zigllm_cli.simd.vector import Vec

Lower = Callable[..., Any]


def _operator(symbol: Any, integer: Lower, floating: Lower | None) -> None:
    @infer_global(symbol)
    class _Typing(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], Vec) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    @lower_builtin(symbol, Vec, Vec)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.args[0].is_float:
            if floating is None:
                raise TypeError(f"{symbol.__name__} of {sig.args[0].name}")
            return floating(builder, *args)
        return integer(builder, *args)


_operator(operator.add, lambda b, x, y: b.add(x, y), lambda b, x, y: b.fadd(x, y))
_operator(operator.sub, lambda b, x, y: b.sub(x, y), lambda b, x, y: b.fsub(x, y))
_operator(operator.mul, lambda b, x, y: b.mul(x, y), lambda b, x, y: b.fmul(x, y))
_operator(operator.truediv, lambda b, x, y: b.sdiv(x, y), lambda b, x, y: b.fdiv(x, y))
_operator(operator.and_, lambda b, x, y: b.and_(x, y), None)
_operator(operator.or_, lambda b, x, y: b.or_(x, y), None)
_operator(operator.xor, lambda b, x, y: b.xor(x, y), None)
