"""Reading safetensors: every type, and files that lie."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import write_safetensors
from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.convert.safetensors import SafetensorsFile, recognises
from zigllm_cli.convert.stored import fp8_table
from zigllm_cli.errors import InputError, UnsupportedError

SOUND: dict[str, Any] = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def raw(path: Path, table: Any, data: bytes = bytes(64), length: int | None = None) -> Path:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + data)
    return path


@pytest.mark.parametrize(
    ("dtype", "stored", "kind", "read"),
    [
        ("F64", "<f8", "F64", "<f8"),
        ("F32", "<f4", "F32", "<f4"),
        ("F16", "<f2", "F16", "<f2"),
        ("BF16", "<u2", "BF16", "<u2"),
        ("I64", "<i8", "I64", "<i8"),
        ("I32", "<i4", "I32", "<i4"),
        ("I16", "<i2", "I16", "<i2"),
        ("I8", "i1", "I8", "i1"),
        ("U8", "u1", "I16", "<i2"),
        ("U16", "<u2", "I32", "<i4"),
        ("U32", "<u4", "I64", "<i8"),
        ("BOOL", "?", "I8", "i1"),
    ],
)
def test_types(tmp_path: Path, dtype: str, stored: str, kind: str, read: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(stored)
    write_safetensors(tmp_path / "a.safetensors", {"x": (dtype, array)})
    (values,) = SafetensorsFile(tmp_path / "a.safetensors")
    assert (values.name, values.shape, values.type.name) == ("x", (2, 3), kind)
    assert values.read().dtype == read
    np.testing.assert_array_equal(values.read(), array)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_every_8_bit_float(dtype: str) -> None:
    import torch

    kind = torch.float8_e4m3fn if dtype == "F8_E4M3" else torch.float8_e5m2
    theirs = torch.arange(256, dtype=torch.uint8).view(kind).float().numpy()
    np.testing.assert_array_equal(fp8_table(dtype), theirs)


def test_brain_floats_as_floats(tmp_path: Path) -> None:
    array = np.array([1.5, -2.0, 3e38], np.float32)
    write_safetensors(tmp_path / "a", {"x": ("BF16", (array.view(np.uint32) >> 16).astype("<u2"))})
    (values,) = SafetensorsFile(tmp_path / "a")
    np.testing.assert_allclose(values.floats(), array, rtol=2**-8)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"[]", "no JSON object"),
        (b"{", "no JSON"),
        (b'{"x": 1}', "not as it should be"),
        (b"[" * 100_000, "no JSON"),
        ({"x": SOUND | {"shape": [2, 3]}}, "24 bytes, not 16"),
        ({"x": SOUND | {"shape": [2, -2]}}, "not as it should be"),
        ({"x": SOUND | {"shape": [2, True]}}, "not as it should be"),
        ({"x": SOUND | {"shape": [2**40, 2**40]}}, "not 16"),
        ({"x": SOUND | {"data_offsets": [0, 2**40]}}, "truncated or damaged"),
        ({"x": SOUND | {"data_offsets": [16, 0]}}, "truncated or damaged"),
        ({"x": SOUND | {"data_offsets": [0]}}, "not as it should be"),
        ({"x": SOUND, "y": SOUND | {"data_offsets": [8, 24]}}, "overlap"),
        (b'{"x": 1, "x": 2}', "stands twice"),
    ],
)
def test_lies(tmp_path: Path, table: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        SafetensorsFile(raw(tmp_path / "a", table))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**63, 100_000_001, 1000])
def test_tables_longer_than_the_file(tmp_path: Path, length: int) -> None:
    with pytest.raises(InputError, match="says that its table has"):
        SafetensorsFile(raw(tmp_path / "a", {}, length=length))


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="is empty"):
        SafetensorsFile(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot read"):
        SafetensorsFile(tmp_path / "missing")
    assert not recognises(tmp_path / "missing")


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    path = raw(tmp_path / "a", {"x": SOUND | {"dtype": "F4"}})
    with pytest.raises(UnsupportedError, match="x is of type F4"):
        list(SafetensorsFile(path))


@given(data=st.data())
def test_damaged_files_end_in_a_sentence(data: st.DataObject, tmp_path_factory: Any) -> None:
    """Whatever is wrong: a valid result or an error of ours."""
    path = tmp_path_factory.mktemp("st") / "a"
    write_safetensors(path, {"x": ("F32", np.ones((2, 2), "<f4")), "y": ("I8", np.ones(3, "i1"))})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for values in SafetensorsFile(path):
            values.read()
    except (InputError, UnsupportedError):
        pass
