"""Vectors and tiles as Numba values.

A `Vec` is a register of lanes, in the spirit of Zig's `@Vector`: `u8x64` is 64 unsigned bytes,
`f32x16` sixteen floats. The names do not change with the machine; where a register is narrower
than 64 bytes, LLVM takes several. A `Tile` is a column of vectors, the accumulators of a
register-blocked product.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import register_model

from zigllm_cli.simd.isa import prepare_numba

prepare_numba()

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()

ELEMENTS: dict[str, ir.Type] = {
    "m": I1,
    "i8": I8,
    "u8": I8,
    "i16": I16,
    "u16": I16,
    "i32": I32,
    "u32": I32,
    "i64": I64,
    "f16": F16,
    "f32": F32,
}


class Vec(types.Type):  # type: ignore[misc]
    """`lanes` values of one element type in a register; the element `m` is a mask's bit."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        self.ir = ir.VectorType(ELEMENTS[element], lanes)
        super().__init__(name=f"{element}x{lanes}")

    @property
    def is_float(self) -> bool:
        """Whether arithmetic on the lanes is floating point."""
        return self.element in ("f32", "f16")

    @property
    def is_signed(self) -> bool:
        """Whether an integer lane widens with its sign."""
        return self.element[0] == "i"

    def constant(self, values: object) -> ir.Constant:
        """The constant vector of these lane values."""
        convert = float if self.is_float else int
        lanes = [convert(value) for value in values]  # type: ignore[attr-defined]
        assert len(lanes) == self.lanes, f"{self.name} of {len(lanes)} values"
        return ir.Constant(self.ir, [ir.Constant(self.ir.element, lane) for lane in lanes])


class Tile(types.Type):  # type: ignore[misc]
    """`columns` vectors of one type, held in registers where there are enough."""

    def __init__(self, vec: Vec, columns: int) -> None:
        self.vec, self.columns = vec, columns
        self.ir = ir.ArrayType(vec.ir, columns)
        super().__init__(name=f"{vec.name}[{columns}]")


@register_model(Vec)
@register_model(Tile)
class _InRegister(models.PrimitiveModel):  # type: ignore[misc]
    """Passed by value, as LLVM's own vector or array."""

    def __init__(self, manager: object, fe_type: Vec | Tile) -> None:
        super().__init__(manager, fe_type, fe_type.ir)


u8x16, u8x32, u8x64 = (Vec("u8", lanes) for lanes in (16, 32, 64))
i8x16, i8x32, i8x64 = (Vec("i8", lanes) for lanes in (16, 32, 64))
u16x8, u16x16, u16x32 = (Vec("u16", lanes) for lanes in (8, 16, 32))
f16x16 = Vec("f16", 16)
i32x4, i32x8, i32x16 = (Vec("i32", lanes) for lanes in (4, 8, 16))
u32x16 = Vec("u32", 16)
i64x8 = Vec("i64", 8)
f32x4, f32x8, f32x16 = (Vec("f32", lanes) for lanes in (4, 8, 16))
mask16, mask64 = Vec("m", 16), Vec("m", 64)
