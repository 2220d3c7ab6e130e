"""What differs between two model files: keys, tensors, values.

Values are compared as numbers, also between different types: both sides are decoded, chunk by
chunk. Tensors whose bytes are equal are recognised without decoding. A is the reference: relative
numbers are relative to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import log10
from typing import Any

from zigllm_cli.errors import UnsupportedError
from zigllm_cli.gguf import Array, Field, GGUFFile, Tensor
from zigllm_cli.inspection.formats import shortened, type_text
from zigllm_cli.inspection.listing import SHORT_ARRAY, matches

FIRST = 3
"""Differing elements of an array that are shown."""
COMPARE_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Called with the bytes of A that were compared since the last call."""


@dataclass(frozen=True)
class ElementChange:
    """One element of an array; None where the array has ended."""

    index: int
    a: Any
    b: Any


@dataclass(frozen=True)
class KeyChange:
    """One key with different values (arrays shortened).

    Attributes:
        count_a, count_b: elements, for arrays.
        differing: elements that differ, and the first of them.
    """

    key: str
    type_a: str
    type_b: str
    a: Any
    b: Any
    count_a: int | None = None
    count_b: int | None = None
    differing: int | None = None
    first: tuple[ElementChange, ...] = ()


@dataclass(frozen=True)
class ValueDifference:
    """How far the values of two tensors are apart, over the values that are finite on both sides.

    Attributes:
        not_finite: values that are finite on one side at most and not the same.
        relative_rms: RMS of the differences over the RMS of A; None where A is zero.
        snr_db: the same in decibels; None where nothing differs or A is zero.
    """

    differing: int
    not_finite: int
    max_abs: float
    rms: float
    relative_rms: float | None
    snr_db: float | None


@dataclass(frozen=True)
class TensorChange:
    """One tensor that is not the same.

    Attributes:
        values: None where shapes differ, or where `reason` says why they were not compared.
    """

    name: str
    type_a: str
    type_b: str
    shape_a: tuple[int, ...]
    shape_b: tuple[int, ...]
    values: ValueDifference | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Difference:
    """Everything that differs.

    Attributes:
        keys_equal, tensors_equal: how many do not.
    """

    a: str
    b: str
    keys_only_in_a: tuple[str, ...] = ()
    keys_only_in_b: tuple[str, ...] = ()
    keys_changed: tuple[KeyChange, ...] = ()
    keys_equal: int = 0
    tensors_only_in_a: tuple[str, ...] = ()
    tensors_only_in_b: tuple[str, ...] = ()
    tensors_changed: tuple[TensorChange, ...] = ()
    tensors_equal: int = 0
    equal: bool = True


def diff(
    a: GGUFFile, b: GGUFFile, pattern: str | None = None, progress: Progress | None = None
) -> Difference:
    """Compare two files; with a glob `pattern` only keys and tensors whose names match."""
    keys_a = {key: item for key, item in a.metadata.fields.items() if matches(key, pattern)}
    keys_b = {key: item for key, item in b.metadata.fields.items() if matches(key, pattern)}
    both = [key for key in keys_a if key in keys_b]
    changed = [change for key in both if (change := compare_keys(keys_a[key], keys_b[key]))]
    names_a = [name for name in a.tensors if matches(name, pattern)]
    names_b = [name for name in b.tensors if matches(name, pattern)]
    shared = [name for name in names_a if name in b.tensors]
    tensors = [
        found
        for name in shared
        if (found := compare_tensors(a.tensors[name], b.tensors[name], progress))
    ]
    lacking = [name for name in names_a if name not in b.tensors]
    added = [name for name in names_b if name not in a.tensors]
    gone, new = keys_a.keys() - keys_b.keys(), keys_b.keys() - keys_a.keys()
    return Difference(
        a=str(a.path),
        b=str(b.path),
        keys_only_in_a=tuple(key for key in keys_a if key in gone),
        keys_only_in_b=tuple(key for key in keys_b if key in new),
        keys_changed=tuple(changed),
        keys_equal=len(both) - len(changed),
        tensors_only_in_a=tuple(lacking),
        tensors_only_in_b=tuple(added),
        tensors_changed=tuple(tensors),
        tensors_equal=len(shared) - len(tensors),
        equal=not (gone or new or changed or lacking or added or tensors),
    )


def compare_keys(a: Field, b: Field) -> KeyChange | None:
    """How two values of one key differ, or None where they are the same value of one type."""
    type_a, type_b = type_text(a), type_text(b)
    if type_a == type_b and _same(a.value, b.value):
        return None
    change = KeyChange(
        a.key,
        type_a,
        type_b,
        shortened(a.value, a.type, SHORT_ARRAY),
        shortened(b.value, b.type, SHORT_ARRAY),
    )
    if not isinstance(a.value, Array) or not isinstance(b.value, Array):
        return change
    missing = object()
    pairs = zip_longest(a.value, b.value, fillvalue=missing)
    places = [
        (index, x, y)
        for index, (x, y) in enumerate(pairs)
        if x is missing or y is missing or not _same(x, y)
    ]
    first = tuple(
        ElementChange(
            index,
            None if x is missing else shortened(x, a.value.element_type, FIRST),
            None if y is missing else shortened(y, b.value.element_type, FIRST),
        )
        for index, x, y in places[:FIRST]
    )
    return replace(
        change,
        count_a=len(a.value),
        count_b=len(b.value),
        differing=len(places),
        first=first,
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Array) and isinstance(b, Array):
        return a.tobytes() == b.tobytes() or a == b
    return bool(a == b) or (a != a and b != b)


def compare_tensors(a: Tensor, b: Tensor, progress: Progress | None = None) -> TensorChange | None:
    """How two tensors of one name differ, or None where type, shape and values are the same."""
    change = TensorChange(a.name, a.type.name, b.type.name, a.shape, b.shape)
    same_type = a.type == b.type
    if a.shape == b.shape and same_type and _same_bytes(a, b):
        _advance(progress, a.nbytes)
        return None
    if a.shape != b.shape:
        _advance(progress, a.nbytes)
        return change
    try:
        values = _compare_values(a, b, progress)
    except UnsupportedError as error:
        _advance(progress, a.nbytes)
        return replace(change, reason=str(error))
    if same_type and not values.differing and not values.not_finite:
        return None  # the other byte order, or another bit pattern of the same value
    return replace(change, values=values)


def _compare_values(a: Tensor, b: Tensor, progress: Progress | None) -> ValueDifference:
    from zigllm_cli.inspection.distance import Distance

    distance = Distance()
    for count in distance.follow(a, b):
        _advance(progress, round(count * a.type.bits_per_weight / 8))
    return ValueDifference(
        differing=distance.differing,
        not_finite=distance.not_finite,
        max_abs=distance.max_abs,
        rms=distance.rms,
        relative_rms=distance.relative_rms,
        snr_db=-20 * log10(distance.relative_rms) if distance.relative_rms else None,
    )


def _same_bytes(a: Tensor, b: Tensor) -> bool:
    """Whether the bytes mean the same without decoding them: equal, in the same byte order."""
    if a.header.byte_order != b.header.byte_order:
        return False
    left, right = a.data, b.data
    return all(
        bytes(left[i : i + COMPARE_BYTES]) == bytes(right[i : i + COMPARE_BYTES])
        for i in range(0, a.nbytes, COMPARE_BYTES)
    )


def _advance(progress: Progress | None, size: int) -> None:
    if progress is not None:
        progress(size)
