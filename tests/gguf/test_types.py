"""The type tables against the `gguf` package, row by row."""

from __future__ import annotations

import gguf
import pytest

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf.types import (
    REMOVED_TYPES,
    SCALAR_CODES,
    TENSOR_TYPES,
    TensorType,
    ValueType,
    tensor_type,
)

# The package's table holds no block of two bits, and for Q8_1 it counts the two numbers in front
# of the block as single precision; ggml's own structure has 4 + 32 bytes.
NEWER_THAN_PACKAGE = {"Q2_0"}
SIZE_DIFFERS = {"Q8_1": 40}


@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=str)
def test_tensor_type_is_the_packages(kind: TensorType) -> None:
    if kind.name in NEWER_THAN_PACKAGE:
        assert kind.name not in gguf.GGMLQuantizationType.__members__
        return
    other = gguf.GGMLQuantizationType[kind.name]
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[other]
    assert (kind.id, kind.block_size) == (other.value, block_size)
    assert SIZE_DIFFERS.get(kind.name, kind.block_bytes) == block_bytes


def test_no_tensor_type_is_missing() -> None:
    ours = {kind.name for kind in TENSOR_TYPES} - NEWER_THAN_PACKAGE
    assert ours == set(gguf.GGMLQuantizationType.__members__)


def test_value_types_are_the_packages() -> None:
    assert {kind.name: kind.value for kind in ValueType} == {
        name: kind.value for name, kind in gguf.GGUFValueType.__members__.items()
    }
    assert set(SCALAR_CODES) == set(ValueType) - {ValueType.STRING, ValueType.ARRAY}


def test_numbers_and_names_are_unique() -> None:
    assert len({kind.id for kind in TENSOR_TYPES}) == len(TENSOR_TYPES)
    assert len({kind.name for kind in TENSOR_TYPES}) == len(TENSOR_TYPES)
    assert not {kind.id for kind in TENSOR_TYPES} & set(REMOVED_TYPES)


def test_lookup_by_number_and_by_name_in_any_case() -> None:
    for kind in TENSOR_TYPES:
        assert tensor_type(kind.id) is tensor_type(kind.name.lower()) is kind


@pytest.mark.parametrize("number", REMOVED_TYPES)
def test_removed_type_is_named(number: int) -> None:
    with pytest.raises(UnsupportedError, match=f"{REMOVED_TYPES[number]}.*removed"):
        tensor_type(number)


@pytest.mark.parametrize("key", [43, 2**32 - 1, -1, "Q9_9", ""])
def test_unknown_type_lists_the_known(key: int | str) -> None:
    with pytest.raises(UnsupportedError, match=r"unknown tensor type .* Q4_K"):
        tensor_type(key)


def test_bits_per_weight() -> None:
    assert tensor_type("F16").bits_per_weight == 16
    assert tensor_type("Q4_0").bits_per_weight == 4.5
    assert not tensor_type("BF16").is_quantized
    assert tensor_type("Q6_K").is_quantized
