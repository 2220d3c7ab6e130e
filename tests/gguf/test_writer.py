"""The writer: byte identity, the `gguf` package as reader, values of every type, refusals."""

from __future__ import annotations

import filecmp
import math
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import UnsupportedError, UsageError, ZigllmError
from zigllm_cli.gguf import TENSOR_TYPES, TensorType, ValueType, open_gguf, tensor_type
from zigllm_cli.gguf.edit import copy_gguf
from zigllm_cli.gguf.entry import Entry, TypedList, encode_value
from zigllm_cli.gguf.values import MAX_NESTING, Array, Layout
from zigllm_cli.gguf.writer import TensorPlan, write_gguf

FileOf = Callable[..., Path]
Raw = Callable[..., bytes]
U32, STRING, ARRAY = 4, 8, 9
F32, I8 = 0, 24


def plan(name: str, shape: tuple[int, ...], kind: str, data: bytes) -> TensorPlan:
    return TensorPlan(name, shape, tensor_type(kind), lambda: [data])


# --- byte identity ---


def every_kind_of_entry(raw_text: Raw, order: str, alignment: int) -> list[tuple[str, int, bytes]]:
    def pack(code: str, *values: Any) -> bytes:
        return struct.pack(order + code, *values)

    return [
        ("general.alignment", U32, pack("I", alignment)),
        ("signalling NaN", 6, pack("I", 0x7FA00001)),
        ("bool of 2", 7, b"\2"),
        ("not utf-8", STRING, raw_text(b"\xff\0\xfe", order)),
        ("doubles", ARRAY, pack("IQ2d", 12, 2, math.pi, -0.0)),
        ("empty", ARRAY, pack("IQ", STRING, 0)),
        ("texts", ARRAY, pack("IQ", STRING, 2) + raw_text("ä", order) + raw_text("", order)),
        ("nested", ARRAY, pack("IQIQ3h", ARRAY, 1, 3, 3, 1, -2, 3)),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [1, 8, 24, 32, 64, 4096])
@pytest.mark.parametrize("end", ["no tensors", "no tensors, padded", "unpadded", "padded", "exact"])
def test_copy_is_byte_identical(
    end: str,
    alignment: int,
    version: int,
    order: str,
    file_of: FileOf,
    raw_gguf: Raw,
    raw_text: Raw,
) -> None:
    keys = every_kind_of_entry(raw_text, order, alignment)
    second = alignment * (20 // alignment + bool(20 % alignment))
    last = alignment if end == "exact" else 3
    infos = [("a", [5], F32, 0), ("b.weight", [last, 1, 1], I8, second)]
    data = b"\x11" * 20 + bytes(second - 20) + b"\x22" * last
    if end.startswith("no tensors"):
        infos, data = [], b""
    written = raw_gguf(keys, infos, data, order=order, version=version, alignment=alignment)
    if end.endswith("padded") and end != "unpadded":
        written += bytes(-len(written) % alignment)
    path = file_of(written)
    (copy,) = copy_gguf(open_gguf(path), path.with_name("copy.gguf"))
    assert copy.read_bytes() == written


def test_every_file_of_the_kit_is_copied_byte_for_byte(kit: Path, tmp_path: Path) -> None:
    paths = sorted(kit.glob("**/*.gguf"))
    assert len(paths) > 20
    for path in paths:
        copy_gguf(open_gguf(path), tmp_path / "copy.gguf")
        assert filecmp.cmp(path, tmp_path / "copy.gguf", shallow=False), path


# --- the other byte order ---


@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata_in_the_other_byte_order(
    order: str, file_of: FileOf, raw_gguf: Raw, raw_text: Raw
) -> None:
    other = "<>".replace(order, "")
    infos, data = [("a", [3], I8, 0)], b"abc"
    here = raw_gguf(every_kind_of_entry(raw_text, order, 32), infos, data, order=order)
    there = raw_gguf(every_kind_of_entry(raw_text, other, 32), infos, data, order=other)
    (copy,) = copy_gguf(open_gguf(file_of(here)), file_of(b"", "copy.gguf"), order=other)
    assert copy.read_bytes() == there


def test_tensors_in_the_other_byte_order_are_refused(file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [8], F32, 0)], bytes(32), order=">"))
    with pytest.raises(UnsupportedError, match="'w' is in the other byte order"):
        copy_gguf(open_gguf(path), path.with_name("copy.gguf"), order="<")
    assert list(path.parent.iterdir()) == [path]


# --- the package reads what is written ---

RANGES = {
    "UINT8": (0, 2**8 - 1),
    "INT8": (-(2**7), 2**7 - 1),
    "UINT16": (0, 2**16 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "UINT32": (0, 2**32 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "UINT64": (0, 2**64 - 1),
    "INT64": (-(2**63), 2**63 - 1),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    kind: st.integers(*limits) for kind, limits in RANGES.items()
} | {
    "BOOL": st.booleans(),
    "FLOAT32": st.floats(width=32, allow_nan=False),
    "FLOAT64": st.floats(allow_nan=False),
    "STRING": st.text(st.characters(codec="utf-8"), max_size=30),
}
# Hypothesis also tries texts that stand in the code; keys that mean something need other values.
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda key: key.isprintable() and not key.startswith(("GGUF.", "general.alignment", "split."))
)


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[ValueType, Any]:
    kind = draw(st.sampled_from(sorted(VALUES)))
    if draw(st.booleans()):
        return ValueType[kind], draw(VALUES[kind])
    return ValueType.ARRAY, TypedList(ValueType[kind], draw(st.lists(VALUES[kind], max_size=8)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.dictionaries(KEYS, typed_values(), max_size=6), order=st.sampled_from("<>"))
def test_any_metadata_is_read_by_the_package(
    tmp_path: Path, keys: dict[str, tuple[ValueType, Any]], order: str
) -> None:
    entries = [Entry.make(key, kind, value) for key, (kind, value) in keys.items()]
    write_gguf(tmp_path / "a.gguf", entries, [], order=order)
    reference, file = gguf.GGUFReader(tmp_path / "a.gguf"), open_gguf(tmp_path / "a.gguf")
    assert list(reference.fields)[3:] == list(file.metadata) == list(keys)
    for key, (kind, value) in keys.items():
        field, mine = reference.fields[key], file.metadata[key]
        assert field.types[0].name == kind.name
        if isinstance(value, TypedList):
            assert mine.element_type is value.element_type
            assert mine.tolist() == value.items == (field.contents() if value.items else [])
        else:
            assert mine == value == field.contents()


@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=str)
def test_every_tensor_type_is_read_by_the_package(kind: TensorType, tmp_path: Path) -> None:
    shape = (kind.block_size, 2, 3)
    data = os.urandom(6 * kind.block_bytes)
    write_gguf(tmp_path / "a.gguf", [], [plan("w", shape, kind.name, data)])
    assert bytes(open_gguf(tmp_path / "a.gguf").tensors["w"].data) == data
    if kind.name in ("Q2_0", "Q8_1"):  # see test_types
        return
    (tensor,) = gguf.GGUFReader(tmp_path / "a.gguf").tensors
    assert (tensor.tensor_type.name, tuple(tensor.shape)) == (kind.name, shape)
    assert tensor.data.tobytes() == data


@pytest.mark.parametrize("alignment", [8, 32, 64, 4096])
def test_alignment_is_read_by_the_package(alignment: int, tmp_path: Path) -> None:
    entry = Entry.make("general.alignment", ValueType.UINT32, alignment)
    tensors = [plan(name, (5,), "F32", name.encode() * 20) for name in "abc"]
    write_gguf(tmp_path / "a.gguf", [entry], tensors)
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.alignment == alignment
    assert [tensor.data.tobytes() for tensor in reader.tensors] == [b"a" * 20, b"b" * 20, b"c" * 20]
    assert all(tensor.data_offset % alignment == 0 for tensor in reader.tensors)
    assert (tmp_path / "a.gguf").stat().st_size % alignment == 0


# --- values ---


def decode(kind: ValueType, data: bytes, order: str) -> Any:
    value, stop = Layout(data, order).value(kind, 0)
    assert stop == len(data)
    return value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", RANGES)
def test_limits_of_integers(name: str, order: str) -> None:
    kind, (low, high) = ValueType[name], RANGES[name]
    for value in (low, 0, 1, high):
        assert decode(kind, encode_value(kind, value, order), order) == value
    for value in (low - 1, high + 1, 10**5000):
        with pytest.raises(UsageError, match=f"does not fit in {name}"):
            encode_value(kind, value, order)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (ValueType.UINT32, 1.0, "1.0 is not of type UINT32"),
        (ValueType.UINT32, True, "True is not of type UINT32"),
        (ValueType.UINT32, "1", "'1' is not"),
        (ValueType.BOOL, 1, "1 is not of type BOOL"),
        (ValueType.FLOAT32, 1e39, "does not fit in FLOAT32"),
        (ValueType.FLOAT64, 10**400, "does not fit in FLOAT64"),
        (ValueType.STRING, 5, "a text is needed, not 5"),
        (ValueType.STRING, b"x", "a text is needed"),
        (ValueType.STRING, "\ud800", "surrogate"),
        (ValueType.ARRAY, [1], "a list is needed"),
        (ValueType.ARRAY, TypedList(ValueType.INT8, [1, 128]), "128 does not fit in INT8"),
        (ValueType.ARRAY, TypedList(ValueType.ARRAY, [1]), "a list is needed, not 1"),
    ],
)
def test_value_that_does_not_fit(kind: ValueType, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        encode_value(kind, value, "<")
    with pytest.raises(UsageError, match=f"some.key: .*{words}"):
        Entry.make("some.key", kind, value)


def test_nested_lists_and_arrays_that_were_read() -> None:
    inner = TypedList(ValueType.STRING, ["a", "\udcff"])
    value = TypedList(ValueType.ARRAY, [inner, TypedList(ValueType.BOOL, [True])])
    data = encode_value(ValueType.ARRAY, value, ">")
    array = decode(ValueType.ARRAY, data, ">")
    assert [item.tolist() for item in array] == [["a", "\udcff"], [True]]
    assert encode_value(ValueType.ARRAY, array, ">") == data
    little = encode_value(ValueType.ARRAY, array, "<")
    assert isinstance(array, Array)
    assert decode(ValueType.ARRAY, little, "<")[0].tolist() == ["a", "\udcff"]


def test_nesting_is_limited_as_in_the_reader() -> None:
    value = TypedList(ValueType.UINT8, [])
    for _ in range(MAX_NESTING - 1):
        value = TypedList(ValueType.ARRAY, [value])
    decode(ValueType.ARRAY, encode_value(ValueType.ARRAY, value, "<"), "<")
    with pytest.raises(UsageError, match="levels deep"):
        encode_value(ValueType.ARRAY, TypedList(ValueType.ARRAY, [value]), "<")


@pytest.mark.parametrize("key", ["", "a\nb", "\udcff", "x" * 65_536, "ä" * 33_000])
def test_key_that_cannot_be(key: str) -> None:
    with pytest.raises(UsageError, match="cannot be a metadata key"):
        Entry.make(key, ValueType.BOOL, True)


# --- tensors and refusals ---


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (plan("w", (31,), "Q8_0", b""), "'w' of shape .* multiple of 32"),
        (plan("w", (), "Q8_0", b""), "multiple of 32"),
        (plan("w", (1,) * 5, "F32", bytes(4)), "impossible shape"),
        (plan("w", (-1,), "F32", b""), "impossible shape"),
        (plan("a\nb", (1,), "F32", bytes(4)), "cannot be the name"),
    ],
)
def test_tensor_that_cannot_be(tensor: TensorPlan, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        write_gguf(tmp_path / "a.gguf", [], [tensor])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 31, 33])
def test_tensor_with_the_wrong_number_of_bytes(size: int, tmp_path: Path) -> None:
    tensors = [plan("w", (8,), "F32", bytes(size))]
    with pytest.raises(ZigllmError, match=f"came with {size} bytes instead of 32"):
        write_gguf(tmp_path / "a.gguf", [], tensors)
    assert not list(tmp_path.iterdir())


def test_names_that_occur_twice(tmp_path: Path) -> None:
    entry = Entry.make("k", ValueType.BOOL, True)
    tensor = plan("w", (1,), "F32", bytes(4))
    with pytest.raises(UsageError, match="key 'k' would be written twice"):
        write_gguf(tmp_path / "a.gguf", [entry, entry], [])
    with pytest.raises(UsageError, match="tensor 'w' would be written twice"):
        write_gguf(tmp_path / "a.gguf", [], [tensor, tensor])


@pytest.mark.parametrize(
    ("kind", "value"), [(ValueType.UINT32, 0), (ValueType.UINT64, 32), (ValueType.STRING, "32")]
)
def test_alignment_of_no_use(kind: ValueType, value: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a positive UINT32"):
        write_gguf(tmp_path / "a.gguf", [Entry.make("general.alignment", kind, value)], [])


@pytest.mark.parametrize("options", [{"version": 1}, {"version": 4}, {"order": "="}])
def test_format_that_is_not_written(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="cannot be written"):
        write_gguf(tmp_path / "a.gguf", [], [], **options)


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_the_input_is_not_overwritten(link: str, file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [8], F32, 0)], bytes(32)))
    target = path if link == "same" else path.with_name("link.gguf")
    if link == "symbolic":
        target.symlink_to(path)
    elif link == "hard":
        target.hardlink_to(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is the file being read; write to another name"):
        copy_gguf(open_gguf(path), target)
    assert path.read_bytes() == before


def test_memory_does_not_grow_with_the_tensors() -> None:
    chunk = bytes(1 << 20)
    tensors = [
        TensorPlan(str(i), (1 << 20, 64), tensor_type("I8"), lambda: iter([chunk] * 64))
        for i in range(4)
    ]
    tracemalloc.start()
    try:
        write_gguf(os.devnull, [], tensors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_progress_counts_the_bytes_of_the_tensors(tmp_path: Path) -> None:
    steps: list[int] = []
    tensors = [
        TensorPlan("a", (6,), tensor_type("I8"), lambda: [b"abc", b"def"]),
        plan("b", (2,), "F32", bytes(8)),
    ]
    write_gguf(tmp_path / "a.gguf", [], tensors, progress=steps.append)
    assert steps == [3, 3, 8]
