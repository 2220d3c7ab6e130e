"""Models in several files: written by llama.cpp's convention, read, and refused when broken."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import pytest

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.gguf import open_gguf, tensor_type
from zigllm_cli.gguf.edit import copy_gguf, edited_entries
from zigllm_cli.gguf.writer import TensorPlan, write_gguf

Raw = Callable[..., bytes]
U16, U32, I32, STRING = 2, 4, 5, 8
F32 = 0


@pytest.fixture
def whole(tmp_path: Path, raw_gguf: Raw, raw_text: Raw) -> Path:
    """Ten tensors t0..t9 of 5 values (32 bytes with padding) each."""
    keys = [("general.name", STRING, raw_text("ten")), ("x", U32, struct.pack("<I", 7))]
    infos = [(f"t{i}", [5], F32, 32 * i) for i in range(10)]
    data = b"".join(bytes([i + 1]) * 20 + bytes(12) for i in range(10))
    path = tmp_path / "whole.gguf"
    path.write_bytes(raw_gguf(keys, infos, data))
    return path


def names_of(paths: list[Path]) -> list[list[str]]:
    return [[tensor.name for tensor in gguf.GGUFReader(path).tensors] for path in paths]


def entry(key: str, kind: int, value: int) -> tuple[str, int, bytes]:
    return key, kind, struct.pack("<I" if kind == U32 else "<H" if kind == U16 else "<i", value)


# --- writing ---


def test_shards_are_as_the_convention_says(whole: Path, tmp_path: Path) -> None:
    paths = copy_gguf(open_gguf(whole), tmp_path / "out.gguf", split_max_tensors=4)
    assert [path.name for path in paths] == [f"out-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    assert names_of(paths) == [["t0", "t1", "t2", "t3"], ["t4", "t5", "t6", "t7"], ["t8", "t9"]]
    for number, path in enumerate(paths):
        fields = gguf.GGUFReader(path).fields
        kinds = {key: fields[key].types[0].name for key in fields if key.startswith("split.")}
        assert kinds == {
            "split.no": "UINT16",
            "split.count": "UINT16",
            "split.tensors.count": "INT32",
        }
        found = [fields[f"split.{key}"].contents() for key in ("no", "count", "tensors.count")]
        assert found == [number, 3, 10]
        assert ("general.name" in fields) == (number == 0)
    assert not list(tmp_path.glob(".zigllm*"))


def test_partition_by_count_is_the_packages(whole: Path, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "ref.gguf", "test", split_max_tensors=3)
    for i in range(10):
        writer.add_tensor(f"t{i}", np.zeros(5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    paths = copy_gguf(open_gguf(whole), tmp_path / "out.gguf", split_max_tensors=3)
    assert names_of(paths) == names_of(sorted(tmp_path.glob("ref-*.gguf")))
    assert list(open_gguf(tmp_path / "ref-00001-of-00004.gguf").tensors) == [
        f"t{i}" for i in range(10)
    ]


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(1, [1] * 10), (32, [1] * 10), (64, [2] * 5), (95, [2] * 5), (96, [3, 3, 3, 1]), (320, [10])],
)
def test_partition_by_bytes_counts_the_padding(
    limit: int, sizes: list[int], whole: Path, tmp_path: Path
) -> None:
    paths = copy_gguf(open_gguf(whole), tmp_path / "out", split_max_bytes=limit)
    assert [len(names) for names in names_of(paths)] == sizes
    assert paths[-1].name == f"out-{len(sizes):05d}-of-{len(sizes):05d}.gguf"


def test_both_limits_at_once(whole: Path, tmp_path: Path) -> None:
    paths = copy_gguf(
        open_gguf(whole), tmp_path / "out.gguf", split_max_bytes=96, split_max_tensors=2
    )
    assert [len(names) for names in names_of(paths)] == [2] * 5


def test_tensor_larger_than_the_limit_has_its_own_shard(tmp_path: Path) -> None:
    tensors = [
        TensorPlan(name, (size,), tensor_type("I8"), partial(list, [bytes(size)]))
        for name, size in (("a", 10), ("big", 1000), ("b", 10), ("c", 10))
    ]
    paths = write_gguf(tmp_path / "out.gguf", [], tensors, split_max_bytes=100)
    assert names_of(paths) == [["a"], ["big"], ["b", "c"]]


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_of_no_use(limit: int, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a positive number"):
        copy_gguf(open_gguf(whole), tmp_path / "out.gguf", split_max_bytes=limit)


def test_model_without_tensors_is_one_shard(tmp_path: Path) -> None:
    (path,) = write_gguf(tmp_path / "out.gguf", [], [], split_max_tensors=5)
    assert path.name == "out-00001-of-00001.gguf"
    assert open_gguf(path).metadata["split.count"] == 1


@pytest.mark.parametrize("alignment", [1, 32, 64, 4096])
def test_split_and_merged_again_is_the_same_file(
    alignment: int, whole: Path, tmp_path: Path
) -> None:
    file = open_gguf(whole)
    entries = edited_entries(file, [f"general.alignment={alignment}"], [])
    (aligned,) = copy_gguf(file, tmp_path / "aligned.gguf", entries)
    shards = copy_gguf(open_gguf(aligned), tmp_path / "out.gguf", split_max_tensors=3)
    split = open_gguf(shards[0])
    assert split.paths == shards
    assert {header.alignment for header in split.headers} == {alignment}
    assert [bytes(t.data) for t in split.tensors.values()] == [
        bytes([i + 1]) * 20 for i in range(10)
    ]
    assert [t.shard for t in split.tensors.values()] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert split.size == sum(path.stat().st_size for path in shards)
    (merged,) = copy_gguf(split, tmp_path / "merged.gguf")
    assert merged.read_bytes() == aligned.read_bytes()


def test_split_again_differently(whole: Path, tmp_path: Path) -> None:
    first = copy_gguf(open_gguf(whole), tmp_path / "one.gguf", split_max_tensors=3)
    second = copy_gguf(open_gguf(first[0]), tmp_path / first[0].name, split_max_tensors=5)
    assert [path.name for path in second] == ["one-00001-of-00002.gguf", "one-00002-of-00002.gguf"]
    assert list(open_gguf(second[0]).metadata) == list(open_gguf(first[0]).metadata)


def test_shards_in_use_are_not_overwritten(whole: Path, tmp_path: Path) -> None:
    shards = copy_gguf(open_gguf(whole), tmp_path / "out.gguf", split_max_tensors=4)
    with pytest.raises(UsageError, match="is the file being read"):
        copy_gguf(open_gguf(shards[0]), tmp_path / "out.gguf", split_max_tensors=5 - 1)
    with pytest.raises(UsageError, match="is the file being read"):
        copy_gguf(open_gguf(shards[0]), shards[2])


# --- broken sets ---


@pytest.fixture
def shards(whole: Path, tmp_path: Path) -> list[Path]:
    return copy_gguf(open_gguf(whole), tmp_path / "out.gguf", split_max_tensors=4)


def test_missing_shard(shards: list[Path]) -> None:
    shards[1].unlink()
    with pytest.raises(InputError, match=r"cannot read .*out-00002-of-00003.gguf: no such file"):
        open_gguf(shards[0])


def test_later_shard_names_the_first(shards: list[Path]) -> None:
    with pytest.raises(InputError, match=r"later shard; open .*out-00001-of-00003.gguf instead"):
        open_gguf(shards[2])


def test_shards_that_changed_places(shards: list[Path]) -> None:
    content = shards[1].read_bytes()
    shards[1].write_bytes(shards[2].read_bytes())
    shards[2].write_bytes(content)
    with pytest.raises(InputError, match="says it is shard"):
        open_gguf(shards[0])


def test_shard_that_points_to_itself(shards: list[Path]) -> None:
    shards[1].unlink()
    shards[1].symlink_to(shards[0])
    with pytest.raises(InputError, match="says it is shard 0 of 3"):
        open_gguf(shards[0])


def test_shard_in_a_loop_of_links(shards: list[Path]) -> None:
    shards[1].unlink()
    shards[1].symlink_to(shards[1].name)
    with pytest.raises(InputError, match=r"cannot read .*symbolic links"):
        open_gguf(shards[0])


def test_shard_that_is_a_pipe(shards: list[Path]) -> None:
    shards[1].unlink()
    os.mkfifo(shards[1])
    with pytest.raises(InputError, match="a device or a pipe"):
        open_gguf(shards[0])


def test_shard_of_another_model(shards: list[Path], raw_gguf: Raw) -> None:
    shards[1].write_bytes(raw_gguf([entry("x", U32, 1)]))
    with pytest.raises(InputError, match="says it is shard -1 of -1"):
        open_gguf(shards[0])


def test_renamed_first_shard(shards: list[Path]) -> None:
    renamed = shards[0].rename(shards[0].with_name("model.gguf"))
    with pytest.raises(InputError, match="give the shards their names back"):
        open_gguf(renamed)


def test_name_tells_another_count(shards: list[Path]) -> None:
    renamed = shards[0].rename(shards[0].with_name("out-00001-of-00004.gguf"))
    with pytest.raises(InputError, match="one of 3 shards"):
        open_gguf(renamed)


def write_pair(folder: Path, raw_gguf: Raw, names: tuple[str, str], announced: int) -> Path:
    for number, name in enumerate(names):
        keys = [
            entry("split.no", U16, number),
            entry("split.count", U16, 2),
            entry("split.tensors.count", I32, announced),
        ]
        data = raw_gguf(keys, [(name, [1], F32, 0)], bytes(4))
        (folder / f"pair-0000{number + 1}-of-00002.gguf").write_bytes(data)
    return folder / "pair-00001-of-00002.gguf"


def test_tensor_in_two_shards(tmp_path: Path, raw_gguf: Raw) -> None:
    with pytest.raises(InputError, match=r"'w' stands in .*00001-of.* and in .*00002-of"):
        open_gguf(write_pair(tmp_path, raw_gguf, ("w", "w"), 2))


def test_number_of_tensors_differs(tmp_path: Path, raw_gguf: Raw) -> None:
    assert len(open_gguf(write_pair(tmp_path, raw_gguf, ("v", "w"), 2)).tensors) == 2
    with pytest.raises(InputError, match="announces 3 tensors, its shards hold 2"):
        open_gguf(write_pair(tmp_path, raw_gguf, ("v", "w"), 3))


@pytest.mark.parametrize("key", ["split.count", "split.no", "split.tensors.count"])
def test_split_key_that_is_no_number(
    key: str, shards: list[Path], raw_gguf: Raw, raw_text: Raw
) -> None:
    keys = [
        entry("split.no", U16, 0),
        entry("split.count", U16, 3),
        entry("split.tensors.count", I32, 10),
    ]
    keys = [(k, STRING, raw_text("x")) if k == key else (k, kind, v) for k, kind, v in keys]
    shards[0].write_bytes(raw_gguf(keys))
    with pytest.raises(InputError, match=f"{key} is 'x', not a number"):
        open_gguf(shards[0])


@pytest.mark.parametrize("count", [0, 1])
def test_count_of_one_is_a_file_of_its_own(count: int, tmp_path: Path, raw_gguf: Raw) -> None:
    path = tmp_path / "any name.gguf"
    path.write_bytes(raw_gguf([entry("split.no", U16, 0), entry("split.count", U16, count)]))
    assert open_gguf(path).paths == [path]
    (copy,) = copy_gguf(open_gguf(path), tmp_path / "copy.gguf")
    assert copy.read_bytes() == path.read_bytes()
