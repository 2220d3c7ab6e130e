"""What lowering gives: calls of kernels, for a number of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from struct import pack, unpack

from zigllm_cli.jit import Kernel

FEW = 16
"""From this many tokens on a product unpacks its weights to panels."""


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
