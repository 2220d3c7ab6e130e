"""GGUF files put together by hand, so that reader and writer are not tested with each other."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Key = tuple[str, int, bytes]
"""name, number of the value type, the value's bytes"""
Info = tuple[str, Sequence[int], int, int]
"""name, sizes, number of the tensor type, offset"""

RawGGUF = Callable[..., bytes]


def text(value: str | bytes, order: str = "<") -> bytes:
    """A string with its length in front."""
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack(order + "Q", len(data)) + data


def build(
    keys: Sequence[Key] = (),
    infos: Sequence[Info] = (),
    data: bytes = b"",
    *,
    order: str = "<",
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
    magic: bytes = b"GGUF",
) -> bytes:
    """The bytes of a file; `data` follows the padding, which is left out without it."""
    tensor_count, key_count = counts or (len(infos), len(keys))
    out = magic + struct.pack(order + "IQQ", version, tensor_count, key_count)
    for key, kind, value in keys:
        out += text(key, order) + struct.pack(order + "I", kind) + value
    for name, shape, kind, offset in infos:
        out += text(name, order) + struct.pack(f"{order}I{len(shape)}Q", len(shape), *shape)
        out += struct.pack(order + "IQ", kind, offset)
    return out + bytes(-len(out) % alignment) + data if data else out


@pytest.fixture(scope="session")
def raw_gguf() -> RawGGUF:
    """`raw_gguf(keys, infos, data, ...) -> bytes`"""
    return build


@pytest.fixture(scope="session")
def raw_text() -> Callable[..., bytes]:
    """`raw_text(value, order) -> bytes`"""
    return text


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Write bytes to a new file of the test's folder and return its path."""

    def write(data: bytes, name: str = "test.gguf", **options: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(data, **options)
        return path

    return write
