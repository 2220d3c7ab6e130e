"""How an operation is made: a Python function that writes LLVM IR becomes a Numba intrinsic."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from zigllm_cli.simd.vector import I32, I64

Build = Callable[..., Any]


def emit(result: Any, *arguments: Any) -> Callable[[Build], Any]:
    """Make an intrinsic of fixed types from a function (builder, *IR values) -> IR value."""
    names = ["typingctx", *(f"a{i}" for i in range(len(arguments)))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def wrap(build: Build) -> Any:
        def typing(*_: Any) -> Any:
            return result(*arguments), _codegen(build)

        return _intrinsic(typing, build, parameters)

    return wrap


def emit_for(*classes: type) -> Callable[[Build], Any]:
    """Make an intrinsic that is typed by its arguments.

    The decorated function takes the Numba types of its arguments (as many as `classes`, which
    they must be instances of) and returns (result type, build function).
    """
    names = ["typingctx", *(f"a{i}" for i in range(len(classes)))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def wrap(choose: Build) -> Any:
        def typing(_context: Any, *arguments: Any) -> Any:
            if not all(isinstance(a, c) for a, c in zip(arguments, classes, strict=True)):
                return None
            result, build = choose(*arguments)
            return result(*arguments), _codegen(build)

        return _intrinsic(typing, choose, parameters)

    return wrap


def _codegen(build: Build) -> Build:
    def codegen(context: Any, builder: Any, _signature: Any, args: Sequence[Any]) -> Any:
        value = build(builder, *args)
        return context.get_dummy_value() if value is None else value

    return codegen


def _intrinsic(typing: Any, named: Build, parameters: inspect.Signature) -> Any:
    typing.__name__ = typing.__qualname__ = named.__name__
    typing.__doc__ = named.__doc__
    typing.__module__ = named.__module__
    typing.__signature__ = parameters  # Numba counts the parameters of the definition
    return intrinsic(typing)


def call(b: Any, name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
    """Call an LLVM intrinsic by name, declaring it in the module when it is new there."""
    function = b.module.globals.get(name)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(result, [a.type for a in args]), name)
    return b.call(function, args)


def load(b: Any, address: ir.Value, kind: ir.Type, align: int = 1) -> ir.Value:
    """Load a value of an IR type from an integer address."""
    value = b.load(b.inttoptr(address, kind.as_pointer()))
    value.align = align
    return value


def store(b: Any, address: ir.Value, value: ir.Value, align: int = 1) -> None:
    """Store a value at an integer address."""
    b.store(value, b.inttoptr(address, value.type.as_pointer())).align = align


def offset(b: Any, address: ir.Value, count: int) -> ir.Value:
    """The address `count` bytes further on."""
    return b.add(address, ir.Constant(I64, count))


def shuffle(b: Any, x: ir.Value, y: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """Lanes of x (numbered from 0) and y (numbered on) in a new order."""
    picks = [ir.Constant(I32, lane) for lane in lanes]
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(picks)), picks))


def broadcast(b: Any, scalar: ir.Value, lanes: int) -> ir.Value:
    """A scalar in every lane."""
    blank = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    return shuffle(b, b.insert_element(blank, scalar, ir.Constant(I32, 0)), blank, [0] * lanes)


def halves(b: Any, value: ir.Value, parts: int) -> list[ir.Value]:
    """A vector cut into `parts` equal ones, for instructions narrower than it."""
    width = value.type.count // parts
    return [shuffle(b, value, value, range(i * width, (i + 1) * width)) for i in range(parts)]


def joined(b: Any, parts: Sequence[ir.Value]) -> ir.Value:
    """Equal vectors, two, four or eight of them, one behind the other."""
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [shuffle(b, x, y, range(count)) for x, y in pairs]
    return parts[0]


def first_lanes_of(b: Any, count: ir.Value, lanes: int) -> ir.Value:
    """IR: the mask of the first `count` lanes."""
    numbers = ir.Constant(ir.VectorType(I64, lanes), [ir.Constant(I64, i) for i in range(lanes)])
    return b.icmp_signed("<", numbers, broadcast(b, count, lanes))


def masked_load(b: Any, address: ir.Value, kind: ir.VectorType, mask: ir.Value) -> ir.Value:
    """IR: the lanes that the mask marks from memory, zeros elsewhere; nothing else is touched."""
    element = kind.element
    letter = {"half": "f16", "float": "f32", "double": "f64"}.get(str(element), str(element))
    name = f"llvm.masked.load.v{kind.count}{letter}.p0"
    pointer = b.inttoptr(address, kind.as_pointer())
    return call(b, name, kind, pointer, ir.Constant(I32, 1), mask, ir.Constant(kind, None))


def fence(b: Any) -> None:
    """IR: loads and stores stay on their side of this, in the machine code too; costs nothing.

    Without it LLVM moves a whole loop's loads to its front and spills what it has no register for.
    """
    b.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)


def opaque(b: Any, vector: ir.Value) -> ir.Value:
    """IR: the same vector, about which LLVM knows nothing; costs nothing.

    LLVM would make a tree of a chain of integer sums, whose leaves it then has no registers for.
    """
    return b.asm(ir.FunctionType(vector.type, [vector.type]), "", "=x,0", [vector], True)
