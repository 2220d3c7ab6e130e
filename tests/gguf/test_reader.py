"""The reader against the `gguf` package's writer, and against files that lie."""

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

from zigllm_cli.errors import InputError, UnsupportedError, ZigllmError
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
    arrays = {
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


KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda key: key.isprintable() and not key.startswith(("GGUF.", "general."))
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


# --- files that lie ---


def refused(path: Path, *words: str) -> None:
    """Opening fails with one sentence that names the file and holds these words."""
    with pytest.raises(ZigllmError) as caught:
        open_gguf(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))
    for word in words:
        assert word in message


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.gguf", "cannot read", "no such file")


def test_empty_file(file_of: FileOf) -> None:
    refused(file_of(b""), "is empty")


def test_directory(tmp_path: Path) -> None:
    refused(tmp_path, "is a directory")


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "a device or a pipe")


def test_device() -> None:
    refused(Path("/dev/zero"), "a device or a pipe")


def test_symlink_loop(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").symlink_to("b.gguf")
    (tmp_path / "b.gguf").symlink_to("a.gguf")
    refused(tmp_path / "a.gguf", "cannot read", "symbolic links")


def test_name_with_a_zero_byte() -> None:
    with pytest.raises(InputError, match="cannot read"):
        open_gguf("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf())
    path.chmod(0)
    refused(path, "permission denied")


def test_wrong_magic(file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf(magic=b"GGML")), "b'GGML'", "not a GGUF file")


@pytest.mark.parametrize("version", [0, 1, 4, 2**32 - 1])
def test_version(version: int, file_of: FileOf, raw_gguf: Raw) -> None:
    with pytest.raises(UnsupportedError, match="only 2 and 3"):
        open_gguf(file_of(raw_gguf(version=version)))


def test_truncated_at_every_byte(raw_gguf: Raw, raw_text: Raw) -> None:
    keys = [
        ("general.alignment", U32, struct.pack("<I", 32)),
        ("text", STRING, raw_text("hello")),
        ("list", ARRAY, struct.pack("<IQ", STRING, 2) + raw_text("a") + raw_text("bc")),
        ("numbers", ARRAY, struct.pack("<IQ3i", 5, 3, 1, 2, 3)),
        ("nested", ARRAY, struct.pack("<IQIQB", ARRAY, 1, 0, 1, 9)),
    ]
    data = raw_gguf(keys, [("w", [32, 2], F16, 0), ("q", [32], Q4_0, 128)], bytes(146))
    parse_header(data)
    for length in range(len(data)):
        with pytest.raises(InputError):
            parse_header(data[:length])


@pytest.mark.parametrize("counts", [(0, 2**63), (2**64 - 1, 0), (0, 100_001), (1_000_001, 0)])
def test_huge_counts(counts: tuple[int, int], file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf(counts=counts)), "are accepted")


@pytest.mark.parametrize("length", [100, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("what", ["key", "text", "element", "tensor"])
def test_huge_string(what: str, length: int, file_of: FileOf, raw_gguf: Raw) -> None:
    long = struct.pack("<Q", length) + b"abc"
    head = raw_gguf(counts=(int(what == "tensor"), int(what != "tensor")))
    data = {
        "key": head + long,
        "text": raw_gguf([("k", STRING, long)]),
        "element": raw_gguf([("k", ARRAY, struct.pack("<IQ", STRING, 2) + long)]),
        "tensor": head + long,
    }[what]
    refused(file_of(data))


@pytest.mark.parametrize("count", [100, 2**31, 2**61, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", list(ValueType))
def test_huge_array(kind: ValueType, count: int, file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf([("k", ARRAY, struct.pack("<IQ", kind, count))])), "runs past the end")


def test_text_too_large_for_memory(tmp_path: Path, raw_gguf: Raw) -> None:
    path = tmp_path / "sparse.gguf"
    path.write_bytes(raw_gguf([("k", STRING, struct.pack("<Q", 1 << 40))]))
    os.truncate(path, 1 << 41)
    refused(path, "a string", "at most")


@pytest.mark.parametrize("key", [b"", b"a\nb", b"\xff", b"a\0", b"\x1b[31m"])
def test_unreadable_key(key: bytes, file_of: FileOf, raw_gguf: Raw, raw_text: Raw) -> None:
    data = raw_gguf(counts=(0, 1)) + raw_text(key) + struct.pack("<IB", 0, 0)
    refused(file_of(data), "not readable text")


def test_duplicate_key(file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf([("same", 0, b"\1"), ("same", 0, b"\2")])), "'same' occurs twice")


def test_long_key_is_cut_in_the_message(file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf([("x" * 60_000, 0, b"\1")] * 2)), "occurs twice")


@pytest.mark.parametrize("kind", [13, 255, 2**32 - 1])
@pytest.mark.parametrize("in_array", [False, True])
def test_bad_value_type(kind: int, in_array: bool, file_of: FileOf, raw_gguf: Raw) -> None:
    key = ("k", ARRAY, struct.pack("<IQ", kind, 0)) if in_array else ("k", kind, bytes(8))
    refused(file_of(raw_gguf([key])), f"type {kind} does not exist")


def test_duplicate_tensor(file_of: FileOf, raw_gguf: Raw) -> None:
    infos = [("w", [8], F32, 0), ("w", [8], F32, 32)]
    refused(file_of(raw_gguf([], infos, bytes(64))), "'w' occurs twice")


def test_unreadable_tensor_name(file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf([], [("a\tb", [8], F32, 0)], bytes(32))), "'a\\tb'")


@pytest.mark.parametrize(("kind", "words"), [(4, "removed"), (36, "removed"), (99, "unknown")])
def test_tensor_type_that_is_none(kind: int, words: str, file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [256], kind, 0)], bytes(512)))
    with pytest.raises(UnsupportedError, match=f"'w'.*{words}"):
        open_gguf(path)


@pytest.mark.parametrize("dimensions", [5, 2**31, 2**32 - 1])
def test_too_many_dimensions(dimensions: int, raw_gguf: Raw, raw_text: Raw) -> None:
    info = raw_text("w") + struct.pack("<I5QIQ", dimensions, 1, 1, 1, 1, 1, F32, 0)
    with pytest.raises(InputError, match="dimensions, at most 4"):
        parse_header(raw_gguf(counts=(1, 0)) + info + bytes(64))


@pytest.mark.parametrize(
    "shape",
    [[2**32, 2**32], [2**63], [2**64 - 32], [2**62, 4], [2**16] * 4, [0, 2**63, 2], [2**63, 0]],
)
def test_impossible_shape(shape: list[int], file_of: FileOf, raw_gguf: Raw) -> None:
    refused(file_of(raw_gguf([], [("w", shape, F32, 0)], bytes(64))), "'w'")


@pytest.mark.parametrize("offset", [1, 31, 33, 2**63 + 1])
def test_unaligned_offset(offset: int, file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [8], F32, offset)], bytes(128)))
    refused(path, "not a multiple of the alignment 32")


@pytest.mark.parametrize(("offset", "size"), [(0, 31), (32, 32), (2**63, 64), (2**64 - 32, 64)])
def test_tensor_outside_the_file(offset: int, size: int, file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [8], F32, offset)], bytes(size)))
    refused(path, "'w' ends at byte", "download it again")


@pytest.mark.parametrize("offsets", [(0, 0), (0, 32), (32, 0)])
def test_overlap(offsets: tuple[int, int], file_of: FileOf, raw_gguf: Raw) -> None:
    infos = [(name, [16], F32, offset) for name, offset in zip("vw", offsets, strict=True)]
    refused(file_of(raw_gguf([], infos, bytes(128))), "'v'", "'w'", "overlap")


def test_row_not_a_multiple_of_the_block(file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([], [("w", [48, 2], Q4_0, 0)], bytes(128)))
    refused(path, "rows of 48 values", "32 values in a block of Q4_0")


@pytest.mark.parametrize(
    ("kind", "value"),
    [(U32, bytes(4)), (5, b"\x20\0\0\0"), (10, b"\x20" + bytes(7)), (STRING, bytes(8))],
)
def test_alignment_of_no_use(kind: int, value: bytes, file_of: FileOf, raw_gguf: Raw) -> None:
    path = file_of(raw_gguf([("general.alignment", kind, value)]))
    refused(path, "must be a positive UINT32")


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
