"""The reader against the `gguf` package's writer, and what that cannot write; its speed."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import TENSOR_TYPES, Array, TensorType, ValueType, open_gguf
from zigllm_cli.gguf.reader import parse_header
from zigllm_cli.gguf.values import MAX_NESTING

FileOf = Callable[..., Path]
Raw = Callable[..., bytes]
U32, STRING, ARRAY = 4, 8, 9
F32, F16, Q4_0, I8 = 0, 1, 2, 24

SCALARS: dict[str, list[Any]] = {
    "UINT8": [0, 255],
    "INT8": [-128, 127],
    "UINT16": [0, 65535],
    "INT16": [-32768, 32767],
    "UINT32": [0, 2**32 - 1],
    "INT32": [-(2**31), 2**31 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FLOAT32": [0.5, -math.inf],
    "FLOAT64": [1e300, 5e-324],
    "BOOL": [True, False],
    "STRING": ["", "Grüße 👋 \0 end"],
}
ENDIANNESS = {"<": gguf.GGUFEndian.LITTLE, ">": gguf.GGUFEndian.BIG}


def write_with_package(
    path: Path, keys: dict[str, tuple[str, Any, str | None]], order: str = "<"
) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "test", endianess=ENDIANNESS[order])
    for key, (kind, value, element) in keys.items():
        sub = gguf.GGUFValueType[element] if element else None
        writer.add_key_value(key, value, gguf.GGUFValueType[kind], sub)
    return writer


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- what the package writes is read ---


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_value_type(tmp_path: Path, order: str) -> None:
    keys: dict[str, tuple[str, Any, str | None]] = {}
    for kind, values in SCALARS.items():
        keys |= {f"{kind}.{i}": (kind, value, None) for i, value in enumerate(values)}
        keys[f"{kind}.list"] = ("ARRAY", values * 5, kind)
    finish(write_with_package(tmp_path / "a.gguf", keys, order))
    file = open_gguf(tmp_path / "a.gguf")
    assert file.byte_order == order
    assert file.version == 3
    assert list(file.metadata) == ["general.architecture", *keys]
    for key, (kind, value, element) in keys.items():
        found = file.metadata[key]
        assert file.metadata.fields[key].type.name == kind
        if element is None:
            assert (found, type(found)) == (value, type(value))
        else:
            assert found.element_type.name == element
            assert found.tolist() == list(found) == value == [found[i] for i in range(len(value))]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("alignment", [8, 32, 64, 4096])
def test_tensors_of_the_package(tmp_path: Path, order: str, alignment: int) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "one": np.arange(7, dtype=np.float32),
        "two": np.arange(15, dtype=np.float16).reshape(5, 3),
        "three": np.arange(24, dtype=np.int8).reshape(2, 3, 4),
        "four": np.arange(16, dtype=np.int32).reshape(1, 2, 2, 4),
        "five": np.arange(3, dtype=np.float64),
    }
    writer = write_with_package(tmp_path / "a.gguf", {}, order)
    writer.add_custom_alignment(alignment)
    for name, array in arrays.items():
        writer.add_tensor(name, array.copy())
    finish(writer)
    file = open_gguf(tmp_path / "a.gguf")
    assert file.alignment == alignment
    assert list(file.tensors) == list(arrays)
    for name, array in arrays.items():
        tensor = file.tensors[name]
        assert tensor.shape == array.shape[::-1]
        assert tensor.n_elements == array.size
        assert tensor.rows * tensor.row_length == array.size
        assert tensor.offset % alignment == 0
        assert bytes(tensor.data) == array.astype(array.dtype.newbyteorder(order)).tobytes()
        assert tensor.data.readonly
        assert tensor.numpy().tobytes() == bytes(tensor.data)


@pytest.mark.parametrize("kind", TENSOR_TYPES, ids=str)
def test_every_tensor_type(kind: TensorType, raw_gguf: Raw) -> None:
    data = bytes(range(256)) * (kind.block_bytes * 3 // 256 + 1)
    data = data[: kind.block_bytes * 3]
    header = parse_header(raw_gguf([], [("t", [kind.block_size, 3], kind.id, 0)], data))
    assert header.tensors["t"] == ("t", (kind.block_size, 3), kind.id, 0, 3 * kind.block_bytes)


# Hypothesis also tries texts that stand in the code; keys that mean something need other values.
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda key: key.isprintable() and not key.startswith(("GGUF.", "general.", "split."))
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    kind: st.integers(*values) for kind, values in SCALARS.items() if "INT" in kind
} | {
    "BOOL": st.booleans(),
    "FLOAT32": st.floats(width=32, allow_nan=False),
    "FLOAT64": st.floats(allow_nan=False),
    "STRING": TEXTS,
}


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[str, Any, str | None]:
    kind = draw(st.sampled_from(sorted(VALUES)))
    if draw(st.booleans()):
        return kind, draw(VALUES[kind]), None
    return "ARRAY", draw(st.lists(VALUES[kind], min_size=1, max_size=8)), kind


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.dictionaries(KEYS, typed_values(), max_size=6), order=st.sampled_from("<>"))
def test_any_metadata_of_the_package(
    tmp_path: Path, keys: dict[str, tuple[str, Any, str | None]], order: str
) -> None:
    finish(write_with_package(tmp_path / "a.gguf", keys, order))
    file = open_gguf(tmp_path / "a.gguf")
    found = {
        key: value.tolist() if isinstance(value, Array) else value
        for key, value in file.metadata.items()
    }
    expected = {key: value for key, (_, value, _) in keys.items()}
    assert found == {"general.architecture": "test", **expected}


def test_kit_files_agree_with_the_package(kit: Path) -> None:
    for path in [kit / "real" / "stories260K-Q4_0.gguf", *kit.glob("vocab/*bert-bge.gguf")]:
        file, reference = open_gguf(path), gguf.GGUFReader(path)
        for key, value in file.metadata.items():
            value = value.tolist() if isinstance(value, Array) else value
            assert value == reference.fields[key].contents(), key
        assert len(file.metadata) == len(reference.fields) - 3
        assert len(file.tensors) == len(reference.tensors)
        for other in reference.tensors:
            tensor = file.tensors[other.name]
            assert tensor.shape == tuple(other.shape)
            assert tensor.type.name == other.tensor_type.name
            assert tensor.offset == other.data_offset
            assert bytes(tensor.data) == other.data.tobytes()


# --- what the package cannot write ---


@pytest.mark.parametrize("alignment", [1, 8, 24, 32, 64, 4096])
def test_alignment(alignment: int, raw_gguf: Raw) -> None:
    infos = [("a", [3], I8, 0), ("b", [1], I8, alignment * (3 // alignment + 1))]
    keys = [("general.alignment", U32, struct.pack("<I", alignment))]
    data = bytes(infos[1][3]) + b"!"
    header = parse_header(raw_gguf(keys, infos, data, alignment=alignment))
    assert header.alignment == alignment
    assert header.data_start % alignment == 0
    _, _, _, offset, nbytes = header.tensors["b"]
    assert header.layout.buffer[header.data_start + offset :][:nbytes] == b"!"


def test_nested_arrays(raw_gguf: Raw, raw_text: Raw) -> None:
    inner = [struct.pack("<IQ2H", 2, 2, 1, 2), struct.pack("<IQ", STRING, 1) + raw_text("x")]
    value = struct.pack("<IQ", ARRAY, 2) + b"".join(inner)
    array = parse_header(raw_gguf([("k", ARRAY, value)])).fields["k"].value
    assert len(array) == 2
    assert [item.tolist() for item in array] == [[1, 2], ["x"]]
    assert array[1].element_type is ValueType.STRING
    assert array == array
    assert array != array[0]
    assert array[:1] == [array[0]]
    assert repr(array) == "<2 x ARRAY>"


@pytest.mark.parametrize(("depth", "ok"), [(MAX_NESTING, True), (MAX_NESTING + 1, False)])
def test_depth_of_nesting(depth: int, ok: bool, raw_gguf: Raw) -> None:
    value = struct.pack("<IQ", ARRAY, 1) * (depth - 1) + struct.pack("<IQB", 0, 1, 7)
    data = raw_gguf([("k", ARRAY, value)])
    if not ok:
        with pytest.raises(InputError, match="nested more than"):
            parse_header(data)
        return
    array = parse_header(data).fields["k"].value
    for _ in range(depth - 1):
        array = array[0]
    assert array.tolist() == [7]


def test_version_2_and_bytes_that_are_not_utf8(raw_gguf: Raw, raw_text: Raw) -> None:
    header = parse_header(raw_gguf([("k", STRING, raw_text(b"\xff\xfeok"))], version=2))
    assert header.version == 2
    assert header.fields["k"].value.encode(errors="surrogateescape") == b"\xff\xfeok"


def test_no_dimensions_and_empty_tensors(raw_gguf: Raw) -> None:
    infos = [("scalar", [], F32, 0), ("empty", [0, 5], F32, 32), ("last", [1], F32, 32)]
    header = parse_header(raw_gguf([], infos, bytes(36)))
    assert [record[4] for record in header.tensors.values()] == [4, 0, 4]


def test_tensors_may_lie_in_any_order_with_gaps(raw_gguf: Raw) -> None:
    infos = [("b", [8], F32, 128), ("a", [8], F32, 0)]
    assert list(parse_header(raw_gguf([], infos, bytes(160))).tensors) == ["b", "a"]


# --- speed ---


def test_opening_ten_thousand_tensors_is_quick(
    tmp_path: Path, raw_gguf: Raw, record_property: Callable[[str, object], None]
) -> None:
    import time

    infos = [(f"blk.{i // 9}.part_{i % 9}.weight", [64, 32], F32, i * 8192) for i in range(10_000)]
    path = tmp_path / "wide.gguf"
    header = raw_gguf([], infos, b"\0")
    path.write_bytes(header)
    os.truncate(path, len(header) - 1 + 10_000 * 8192)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        open_gguf(path)
        best = min(best, time.perf_counter() - start)
    record_property("milliseconds", best * 1000)
    # 10 ms on the machine this was written on; the bound only catches a change of complexity.
    assert best < 0.2
