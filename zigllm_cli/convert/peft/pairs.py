"""What PEFT's files of weights hold: two halves of a change for every module."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from zigllm_cli.convert.safetensors import SafetensorsFile
from zigllm_cli.convert.torch import read_torch, tensors_of, values_of
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError, UnsupportedError

NAME = re.compile(
    r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?:(?P<table>embedding)_)?(?P<half>[AB])"
    r"(?:\.default)?(?:\.weight)?"
)

COPIES = ".base_layer.weight"
"""What PEFT saves of an embedding table or a head, unchanged, if its pair changes it."""


@dataclass
class Pair:
    """The two halves of a change, as PEFT has them.

    Attributes:
        module: of the base, as transformers names it.
        a, b: [rank, columns], [rows, rank].
        table: whether the module is an embedding table.
    """

    module: str
    halves: dict[str, Values] = field(default_factory=dict)
    table: bool = False

    @property
    def a(self) -> Values:
        return self.halves["A"]

    @property
    def b(self) -> Values:
        return self.halves["B"]

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    def times(self, factor: float) -> Pair:
        """The same with B times a factor."""
        if factor == 1:
            return self
        b = self.b.computed(lambda array: array * array.dtype.type(factor))
        return replace(self, halves={"A": self.a, "B": b})


def read_pairs(path: Path) -> list[Pair]:
    """All changes of a file.

    Raises:
        InputError: one lacks a half.
        UnsupportedError: a tensor that is no half of a change.
    """
    values: Iterable[Values]
    if path.suffix == ".safetensors":
        values = SafetensorsFile(path)
    else:
        values = (values_of(name, t) for name, t in tensors_of(read_torch(path)).items())
    found: dict[str, Pair] = {}
    for tensor in values:
        if tensor.name.endswith(COPIES):
            continue
        match = NAME.fullmatch(tensor.name)
        if not match:
            raise UnsupportedError(
                f"{path}: {tensor.name} is no half of a low-rank change; merge it with PEFT"
            )
        pair = found.setdefault(match["module"], Pair(match["module"]))
        pair.halves[match["half"]] = tensor
        pair.table = bool(match["table"])
    for pair in found.values():
        if len(pair.halves) < 2:
            raise InputError(f"{path}: only one half of the change of {pair.module} is there")
        shapes = pair.a.shape, pair.b.shape
        if any(len(shape) != 2 for shape in shapes) or pair.a.shape[0] != pair.b.shape[1]:
            raise InputError(f"{path}: {pair.module} is changed by {shapes[0]} and {shapes[1]}")
    if not found:
        raise InputError(f"{path} has no tensors")
    return list(found.values())
