"""Files of `torch.save`: .pt, .pth, .bin, .ckpt; zip archives, and the format before torch 1.6.

    zip     ROOT/data.pkl, ROOT/data/KEY (a storage each, stored as it is), ROOT/byteorder
    legacy  pickles: magic number, version, facts of the system, the value, the keys of the
            storages; then for each key the number of its values (int64) and the values

Storages stay in the map of the file. Source: `torch/serialization.py`.
"""

from __future__ import annotations

import mmap
import os
import struct
import zipfile
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

from zigllm_cli.convert.torch.names import NAMES, dtype_of
from zigllm_cli.convert.torch.pickles import read_pickle
from zigllm_cli.convert.torch.tensors import Storage, TorchTensor
from zigllm_cli.errors import InputError, unreadable
from zigllm_cli.gguf.model_file import forget

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
LOCAL_SIGNATURE = b"PK\x03\x04"
ENCRYPTED = 1


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as `torch.save` begins one, in either format; or is any pickle."""
    with Path(path).open("rb") as file:
        start = file.read(2)
    return start == b"PK" or (start[:1] == b"\x80" and 2 <= start[-1] <= 5)


def read_torch(path: str | os.PathLike[str]) -> Any:
    """The value that `torch.save` wrote: plain containers, with `TorchTensor`s in them.

    Raises:
        InputError: it cannot be read, is damaged, or wants something run.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    try:
        if data[:4] == LOCAL_SIGNATURE:
            return _Archive(data).value()
        return _legacy(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _Storages:
    """The storages that a pickle refers to."""

    def __init__(self) -> None:
        self.by_key: dict[str, Storage] = {}

    def persistent(self, identity: Any) -> Storage:
        """("storage", class, key, place, number of values) and, once, a view of it.

        Raises:
            InputError: something else, or what was said of the same key before differs.
        """
        is_storage = isinstance(identity, tuple) and 5 <= len(identity) <= 6
        if not is_storage or identity[0] != "storage":
            raise InputError("it refers to something that is no storage")
        _, kind, key, _, count, *view = identity
        if view not in ([], [None]):
            raise InputError("its storages are views of others, which torch no longer writes")
        if not isinstance(key, str) or isinstance(count, bool) or not isinstance(count, int):
            raise InputError("it refers to a storage without a key or a size")
        if not 0 <= count < 2**60:
            raise InputError(f"its storage {key[:50]!r} has an impossible size")
        new = Storage(key, dtype_of(kind), count)
        known = self.by_key.setdefault(key, new)
        if (known.type, known.count) != (new.type, new.count):
            raise InputError(f"it contradicts itself about storage {key[:50]!r}")
        return known


# ------------------------------------------------------------------ zip


class _Archive:
    """A zip archive whose entries are parts of the map."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.spans: dict[str, tuple[int, int]] = {}
        self.entries = self._entries()

    def value(self) -> Any:
        """What data.pkl says, its storages found."""
        pickles = [name for name in self.entries if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            if any(name.endswith("constants.pkl") for name in self.entries):
                raise InputError("a TorchScript program: save its state_dict() with torch.save")
            raise InputError("a zip archive, but none of torch.save: there is no data.pkl in it")
        root = pickles[0].split("/")[0]
        order = bytes(self.entries.get(f"{root}/byteorder", memoryview(b"little")))
        if order not in (b"little", b"big"):
            raise InputError(f"its byte order is {order[:20]!r}")
        storages = _Storages()
        value = read_pickle(BytesIO(self.entries[pickles[0]]), NAMES, storages.persistent)
        for key, storage in storages.by_key.items():
            data = self.entries.get(f"{root}/data/{key}")
            if data is None:
                raise InputError(f"storage {key[:50]!r} is missing")
            if len(data) != storage.nbytes:
                raise InputError(
                    f"storage {key[:50]!r} has {len(data)} bytes instead of {storage.nbytes}"
                )
            storage.data, storage.order = data, "<" if order == b"little" else ">"
            storage.release = partial(forget, self.data, *self.spans[f"{root}/data/{key}"])
        return value

    def _entries(self) -> dict[str, memoryview]:
        try:
            with zipfile.ZipFile(cast(IO[bytes], self.data)) as archive:
                listed = archive.infolist()
        except (
            zipfile.BadZipFile,
            ValueError,
            OSError,
            NotImplementedError,
            struct.error,
        ) as error:
            raise InputError(f"a damaged zip archive: {str(error).rstrip('.')}") from None
        spans: list[tuple[int, int]] = []
        entries: dict[str, memoryview] = {}
        view = memoryview(self.data)
        for info in listed:
            start, end = self._span(info)
            if info.filename in entries:
                raise InputError(f"its entry {info.filename[:50]!r} is there twice")
            entries[info.filename] = view[start:end]
            self.spans[info.filename] = start, end
            spans.append((info.header_offset, end))
        spans.sort()
        for (_, end), (start, _) in pairwise(spans):
            if start < end:
                raise InputError("entries of its zip archive overlap")
        return entries

    def _span(self, info: zipfile.ZipInfo) -> tuple[int, int]:
        """Where the bytes of an entry stand, if they stand there as they are."""
        name = info.filename[:50]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED:
            raise InputError(
                f"its entry {name!r} is compressed or encrypted, which torch never does"
            )
        start = info.header_offset
        header = self.data[start : start + LOCAL_HEADER.size]
        if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_SIGNATURE):
            raise InputError(f"its entry {name!r} is not where the archive says")
        *_, name_size, extra_size = LOCAL_HEADER.unpack(header)
        start += LOCAL_HEADER.size
        written = self.data[start : start + name_size]
        if written != info.orig_filename.encode("utf-8", "replace"):
            raise InputError(f"its entry {name!r} has another name where it stands")
        start += name_size + extra_size
        end = start + info.file_size
        if info.file_size != info.compress_size or end > len(self.data):
            raise InputError(f"its entry {name!r} has an impossible size")
        return start, end


# ------------------------------------------------------------------ legacy


def _legacy(data: mmap.mmap) -> Any:
    """Pickles one behind the other, then the storages."""
    storages = _Storages()
    if read_pickle(data, {}) != LEGACY_MAGIC:
        raise InputError("a pickle, but not a file of torch.save")
    version = read_pickle(data, {})
    if version != LEGACY_VERSION:
        raise InputError(f"a file of torch.save of version {str(version)[:20]}; save it anew")
    read_pickle(data, NAMES)  # the writer's system, which does not matter: values are little-endian
    value = read_pickle(data, NAMES, storages.persistent)
    keys = read_pickle(data, {})
    if not isinstance(keys, list) or set(map(str, keys)) != set(storages.by_key):
        raise InputError("its list of storages is not that of its tensors")
    place, view = data.tell(), memoryview(data)
    for key in keys:
        storage = storages.by_key[str(key)]
        count = int.from_bytes(view[place : place + 8], "little")
        end = place + 8 + storage.nbytes
        if count != storage.count or end > len(view) or storage.data is not None:
            raise InputError(f"storage {storage.key[:50]!r} is cut short or of another size")
        storage.data = view[place + 8 : end]
        storage.release = partial(forget, data, place, end)
        place = end
    return value


# ------------------------------------------------------------------ other pickles


def read_plain_pickle(path: str | os.PathLike[str]) -> Any:
    """The value of a pickle of texts, numbers and containers, such as nanoGPT's meta.pkl.

    Raises:
        InputError: it cannot be read, is damaged, or names anything but a container.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        return read_pickle(
            BytesIO(data), {name: NAMES[name] for name in NAMES if "torch" not in name}
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def tensors_of(value: Any) -> dict[str, TorchTensor]:
    """The tensors of a state dict, by name; other values in it are left out."""
    if not isinstance(value, dict):
        return {}
    return {
        key: item
        for key, item in value.items()
        if isinstance(key, str) and isinstance(item, TorchTensor)
    }
