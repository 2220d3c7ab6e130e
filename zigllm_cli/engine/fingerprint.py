"""Which model a saved state belongs to, found out without reading gigabytes."""

from __future__ import annotations

from hashlib import sha256

from zigllm_cli.gguf import GGUFFile

SAMPLE = 4096
SAMPLES = 64
"""Pieces of tensor data that are looked at in each shard, and the bytes of one."""


def fingerprint(file: GGUFFile) -> bytes:
    """32 bytes that differ between models, and between changed metadata of one.

    All of each shard's header, its size, and samples of its data; values that were set from
    outside (`--override-kv`) have no place in the file and count as they are. Adapters count too.
    """
    digest = sha256()
    for header in file.headers:
        buffer, size = header.layout.buffer, header.layout.size
        digest.update(size.to_bytes(8, "little"))
        digest.update(buffer[: header.infos_stop])
        step = max((size - header.data_start) // SAMPLES, SAMPLE)
        for start in range(header.data_start, size, step):
            digest.update(buffer[start : start + SAMPLE])
    for key, field in sorted(file.metadata.fields.items()):
        if not field.stop:
            digest.update(f"{key}={field.value!r}\0".encode("utf-8", "surrogateescape"))
    for adapter, scale in file.adapters:
        digest.update(fingerprint(adapter) + repr(scale).encode())
    return digest.digest()
