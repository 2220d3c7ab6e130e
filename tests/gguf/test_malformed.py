"""The reader against files that lie, one test per lie."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from zigllm_cli.errors import InputError, UnsupportedError, ZigllmError
from zigllm_cli.gguf import ValueType, open_gguf
from zigllm_cli.gguf.reader import parse_header

FileOf = Callable[..., Path]
Raw = Callable[..., bytes]
U32, STRING, ARRAY = 4, 8, 9
F32, F16, Q4_0 = 0, 1, 2


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


def test_no_permission(file_of: FileOf, raw_gguf: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is played."""

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    path = file_of(raw_gguf())
    monkeypatch.setattr(Path, "open", refuse)
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
