"""From operations to calls of kernels: addresses, argument blocks, and which kernel for how many
tokens.

A plan is lowered once for one token, once for a few and once for many (`Mode`); the parts before
and behind the selection of rows (`Value.head`) choose on their own, since a prompt of 500 tokens
wants the logits of one. All modes work in the same buffers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import singledispatchmethod
from struct import pack, unpack

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.jit import Kernel
from zigllm_cli.kernels import state as words
from zigllm_cli.kernels.attention_layout import POSITIONS_OF_CHUNK, scratch_bytes
from zigllm_cli.plan.cache import Cache
from zigllm_cli.plan.memory import PAD, Buffers, address, aligned
from zigllm_cli.plan.operations import (
    Activation,
    Attention,
    Embed,
    Operation,
    Product,
    RmsNorm,
    Rope,
    Select,
    StoreCache,
    Value,
    Vector,
)
from zigllm_cli.plan.plan import Plan
from zigllm_cli.plan.rotation import RopeTables
from zigllm_cli.quants.layouts import LAYOUTS, STEP, Layout

FEW = 16
"""From this many tokens on a product unpacks its weights to panels."""

FLOATS = ("F32", "F16", "BF16")

PANEL_ROWS = 64
"""Rows of weights that a thread multiplies with all tokens at a time, at most."""

FLOAT_PANELS, PANELS = 4 * PANEL_ROWS * 512, PANEL_ROWS * (STEP + 4 * 16 + 4 * 16)
"""Bytes of those rows, unpacked, that stand in the first-level cache at a time."""


class Mode(StrEnum):
    """How many tokens a lowered operation is for."""

    ONE = "one"
    FEW = "few"
    MANY = "many"

    @classmethod
    def of(cls, tokens: int) -> Mode:
        """The mode for this many tokens."""
        return cls.ONE if tokens == 1 else cls.FEW if tokens < FEW else cls.MANY


@dataclass(frozen=True)
class Call:
    """One kernel and its arguments.

    Attributes:
        words: the argument block.
        label: what the profile calls it.
        weight_bytes: bytes of weights read.
        macs: multiply-adds per token.
        is_head: whether it works on selected rows only.
        barrier: whether later calls need what this one wrote.
    """

    kernel: Kernel
    words: tuple[int, ...]
    label: str
    detail: str = ""
    weight_bytes: int = 0
    macs: int = 0
    is_head: bool = False
    barrier: bool = True


def float_word(value: float) -> int:
    """The bits of a double, as kernels take floats."""
    return int(unpack("<q", pack("<d", value))[0])


class Lowering:
    """Lowers the operations of a plan.

    Args:
        plan: the finished plan.
        cache: where keys and values stand.
        batch: most tokens of a step.
        threads: how many will run it.
    """

    def __init__(self, plan: Plan, cache: Cache, batch: int, threads: int) -> None:
        self.plan, self.cache, self.batch, self.threads = plan, cache, batch, threads
        self.buffers = Buffers()
        self.state = aligned(8 * words.WORDS).view(np.int64)
        self.head_state = aligned(8 * words.WORDS).view(np.int64)
        self.rope = RopeTables(cache.context)
        self._kept: list[Vector] = []
        self._counters: list[NDArray[np.int64]] = []
        self._recorded: dict[str, Value] = {}
        self._reserve()

    # -------------------------------------------------------------- memory

    def _reserve(self) -> None:
        rows = self.batch + PAD
        for operation in self.plan.operations:
            self.buffers.reserve(operation.out.name, 4 * operation.out.width * rows)
            if isinstance(operation, Product):
                self._reserve_product(operation, rows)
            if isinstance(operation, Attention):
                few, op = min(self.batch, FEW), operation
                size = scratch_bytes(few, self.cache.context, op.heads, op.value_dim)
                self.buffers.reserve("scratch", size)
        for block in (self.state, self.head_state):
            block[words.SCRATCH] = self.buffers.address("scratch")

    def _reserve_product(self, product: Product, rows: int) -> None:
        weight = product.weight
        if weight.type in FLOATS:
            room = FLOAT_PANELS
        else:
            layout = LAYOUTS[weight.type]
            steps = -(-weight.columns // STEP)
            self.buffers.reserve(_records(layout), rows * steps * layout.record)
            room = PANELS
        room += 4 * PANEL_ROWS * rows
        self.buffers.reserve("panels", self.threads * self._rounded(room))

    @staticmethod
    def _rounded(size: int) -> int:
        return -(-size // 4096) * 4096

    def address_of(self, value: Value) -> int:
        """Where a value's first row stands."""
        return self.buffers.address(value.name)

    def _vector(self, vector: Vector | None) -> int:
        if vector is None:
            return 0
        self._kept.append(vector)
        return address(vector)

    def _state(self, value: Value) -> int:
        return address(self.head_state if value.head else self.state)

    # -------------------------------------------------------------- operations

    def lower(self, mode: Mode, head_mode: Mode | None) -> list[Call]:
        """All calls of a step in these modes; without a head mode, those before the logits."""
        self._recorded = {}
        calls: list[Call] = []
        for operation in self.plan.operations:
            if not operation.out.head:
                calls += self.calls(operation, mode)
            elif head_mode is not None:
                calls += self.calls(operation, head_mode)
        calls[-1] = replace(calls[-1], barrier=True)
        return calls

    @singledispatchmethod
    def calls(self, operation: Operation, mode: Mode) -> Iterable[Call]:
        """The calls of one operation."""
        raise NotImplementedError(type(operation).__name__)

    @calls.register
    def _(self, op: Embed, mode: Mode) -> Iterable[Call]:
        weight = op.weight
        args = (
            address(weight.data),
            weight.row_bytes,
            weight.columns,
            self.address_of(op.out),
            4 * op.out.width,
            int(self.state[words.IDS]),
            address(self.state),
            float_word(op.scale),
        )
        return [Call(Kernel("embed", (weight.type,)), args, op.label)]

    @calls.register
    def _(self, op: RmsNorm, mode: Mode) -> Iterable[Call]:
        args = (
            self.address_of(op.x),
            4 * op.x.width,
            self.address_of(op.out),
            4 * op.out.width,
            self._vector(op.weight),
            op.x.width,
            float_word(op.epsilon),
            self._state(op.out),
            op.parts,
        )
        return [Call(Kernel("rms_norm"), args, op.label)]

    @calls.register
    def _(self, op: Rope, mode: Mode) -> Iterable[Call]:
        args = (
            self.address_of(op.out),
            4 * op.out.width,
            op.heads,
            op.head_dim,
            op.rotation.dimensions,
            self.rope.address(op.rotation),
            self._state(op.out),
        )
        return [Call(Kernel("rope", (op.rotation.pairing,)), args, op.label)]

    @calls.register
    def _(self, op: Activation, mode: Mode) -> Iterable[Call]:
        args = (
            self.address_of(op.gate),
            self.address_of(op.up) if op.up else 0,
            self.address_of(op.out),
            op.out.width,
            4 * op.out.width,
            self._state(op.out),
        )
        return [Call(Kernel("silu_mul", (op.function, int(op.up is not None))), args, op.label)]

    @calls.register
    def _(self, op: Select, mode: Mode) -> Iterable[Call]:
        args = (
            self.address_of(op.x),
            4 * op.x.width,
            self.address_of(op.out),
            4 * op.out.width,
            op.x.width,
            address(self.state),
        )
        return [Call(Kernel("select_rows"), args, op.label)]

    @calls.register
    def _(self, op: StoreCache, mode: Mode) -> Iterable[Call]:
        keys, values = self._cache_addresses(op.layer)
        args = (
            self.address_of(op.out),
            4 * op.out.width,
            self.address_of(op.values),
            4 * op.values.width,
            op.heads,
            op.key_dim,
            op.value_dim,
            *keys,
            *values,
            self._state(op.out),
        )
        kv_type = self.cache.kv_type
        return [Call(Kernel("cache_store", (kv_type, kv_type)), args, op.label)]

    def _cache_addresses(self, layer: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """(address, bytes per sequence, bytes per head) of a layer's keys and of its values."""
        cache = self.cache.layers[layer]
        keys, values = cache.keys, cache.values
        return (
            (address(keys), keys.strides[0], keys.strides[1]),
            (address(values), values.strides[0], values.strides[1]),
        )

    @calls.register
    def _(self, op: Attention, mode: Mode) -> Iterable[Call]:
        keys, values = self._cache_addresses(op.layer)
        args = (
            self.address_of(op.q),
            4 * op.q.width,
            self.address_of(op.out),
            4 * op.out.width,
            op.heads,
            op.kv_heads,
            op.key_dim,
            op.value_dim,
            *keys,
            *values,
            float_word(op.scale),
            float_word(op.softcap),
            op.window,
            0,
            0,
            self._state(op.out),
            POSITIONS_OF_CHUNK,
        )
        types = (self.cache.kv_type, self.cache.kv_type)
        if mode is Mode.MANY:
            return [Call(Kernel("attention", ("prefill", *types)), args, op.label)]
        group = op.heads // op.kv_heads
        return [
            Call(Kernel("attention", ("decode", *types, group)), args, op.label),
            Call(Kernel("attention_merge"), args, "merge"),
        ]

    # -------------------------------------------------------------- products

    @calls.register
    def _(self, op: Product, mode: Mode) -> Iterable[Call]:
        weight = op.weight
        if weight.type in FLOATS:
            x, stride, module = self.address_of(op.x), 4 * op.x.width, "float_"
            whole, behind = weight.columns, 0
        else:
            layout = LAYOUTS[weight.type]
            yield from self._quantize(op.x, layout)
            x, module = self.buffers.address(_records(layout)), ""
            stride = -(-weight.columns // STEP) * layout.record
            whole, behind = divmod(weight.columns, STEP)
            behind //= 32
        args = [
            address(weight.data),
            weight.row_bytes,
            weight.rows,
            whole,
            behind,
            x,
            stride,
            self.address_of(op.out),
            4 * op.out.width,
            self._vector(op.bias),
            int(op.add),
            self._state(op.out),
        ]
        if mode is Mode.MANY:
            size = len(self.buffers.block("panels")) // self.threads
            args += [self.buffers.address("panels"), size // 4096 * 4096, self._counter()]
            kernel = Kernel(module + "panels", (weight.type,))
        else:
            kernel = Kernel(module + "rows", (weight.type, int(mode is Mode.FEW)))
        yield Call(
            kernel,
            tuple(args),
            op.label,
            f"{weight.type} {weight.columns} x {weight.rows}",
            weight.row_bytes * weight.rows,
            weight.rows * weight.columns,
            op.out.head,
        )

    def _counter(self) -> int:
        """The address of a word of zero that no other operation has."""
        word = aligned(8).view(np.int64)
        self._counters.append(word)
        return address(word)

    def _quantize(self, x: Value, layout: Layout) -> Iterable[Call]:
        """Records of x in a layout's order, unless they stand there already."""
        name = _records(layout)
        if self._recorded.get(name) is x:
            return
        self._recorded[name] = x
        steps = -(-x.width // STEP)
        args = (
            self.address_of(x),
            4 * x.width,
            self.buffers.address(name),
            steps * layout.record,
            x.width,
            self._state(x),
        )
        yield Call(Kernel("activations", (_representative(layout),)), args, "quantize")


def _representative(layout: Layout) -> str:
    """The first type with this layout: types with equal ones share the activations' kernel."""
    return next(name for name, other in LAYOUTS.items() if other == layout)


def _records(layout: Layout) -> str:
    return f"records {_representative(layout)}"
