"""An adapter's pairs under the names, and with the rows, that GGUF has for their matrices.

Rows of W go with rows of B, because W + B A is what is multiplied. So B is sent through the family
as if it were the matrix, and A stays as it is; where matrices lie with rows and columns exchanged
(GPT-2), PEFT's pair does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from zigllm_cli.convert.conversion import SourceTensor
from zigllm_cli.convert.hf.family import EXPERT, LAYER, Family, bare
from zigllm_cli.convert.peft.pairs import Pair
from zigllm_cli.convert.values import Values, stacked
from zigllm_cli.errors import InputError, UnsupportedError


def adapter_tensors(pairs: list[Pair], family: Family) -> Iterator[SourceTensor]:
    """The halves under their GGUF names.

    Raises:
        InputError: an expert is missing.
        UnsupportedError: a matrix that GGUF has not, or has with other columns.
    """
    experts = [pair for pair in pairs if EXPERT.search(bare(pair.module))]
    for pair in pairs:
        if pair.table:
            yield from _table_change(pair, family)
        elif pair not in experts:
            yield from _changes(pair, family)
    yield from _expert_changes(experts, family)


def _sent(family: Family, pair: Pair, values: Values) -> list[SourceTensor]:
    """What the family makes of a matrix under the name of a pair's module."""
    extra = {tensor.name for tensor in family.extra()}
    tensors = family.tensors([replace(values, name=f"{pair.module}.weight")])
    found = [tensor for tensor in tensors if tensor.name not in extra]
    if not found:
        raise UnsupportedError(f"the adapter changes {pair.module}, which GGUF files do not hold")
    return found


def _changes(pair: Pair, family: Family) -> Iterator[SourceTensor]:
    """A pair, or one for each part of a matrix that GGUF has in parts."""
    rows = pair.b.shape[0]
    wide = rows + 1  # so that a matrix and its transpose differ in shape
    probe = replace(pair.a, shape=(rows, wide))  # nobody reads it
    exchanged = any(tensor.shape[0] != wide for tensor in _sent(family, pair, probe))
    for tensor in _sent(family, pair, pair.b.transposed() if exchanged else pair.b):
        if tensor.shape[0] != pair.rank or len(tensor.shape) != 2:
            raise UnsupportedError(
                f"the adapter changes {pair.module}, whose columns GGUF has elsewhere: merge it"
                " with PEFT"
            )
        yield pair.a.becomes(f"{tensor.name}.lora_a")
        yield replace(tensor, name=f"{tensor.name}.lora_b")


def _table_change(pair: Pair, family: Family) -> Iterator[SourceTensor]:
    """Of an embedding table, whose A has a column for each token."""
    whole, *_ = _sent(family, pair, replace(pair.a, shape=(pair.a.shape[1], pair.b.shape[0])))
    yield pair.a.transposed().becomes(f"{whole.name}.lora_a")
    yield pair.b.becomes(f"{whole.name}.lora_b")


def _expert_changes(pairs: list[Pair], family: Family) -> Iterator[SourceTensor]:
    """Changes of experts, which GGUF has one above the other."""
    found: dict[str, dict[int, Pair]] = {}
    for pair in pairs:
        match = LAYER.fullmatch(bare(pair.module))
        inner = match[2] if match else pair.module
        number = EXPERT.search(inner)
        new = family.block.get(EXPERT.sub("experts.#.", inner))
        if not match or not number or new is None:
            raise UnsupportedError(f"the adapter changes {pair.module}, which is not converted")
        found.setdefault(f"blk.{match[1]}.{new}.weight", {})[int(number[1])] = pair
    for name, experts in found.items():
        count = family.config.experts
        if set(experts) != set(range(count)):
            raise InputError(f"the adapter changes {len(experts)} of {count} experts of {name}")
        for half in "AB":
            parts = [experts[number].halves[half] for number in range(count)]
            yield stacked(parts).becomes(f"{name}.lora_{half.lower()}")
