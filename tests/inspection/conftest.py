"""Files to inspect: the kit's models, written ones, and opened ones with something taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from zigllm_cli.gguf import GGUFFile, open_gguf

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write a GGUF file with the `gguf` package.

    `keys` maps names to values (int u32, float f32, bool, str, list) or to (type, value);
    `tensors` maps names to arrays or to (bytes as uint8 array, shape, type name).
    """

    def write(
        keys: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Any] | None = None,
        *,
        arch: str = "llama",
        name: str = "tiny.gguf",
        big_endian: bool = False,
    ) -> Path:
        path = tmp_path / name
        order = gguf.GGUFEndian.BIG if big_endian else gguf.GGUFEndian.LITTLE
        writer = gguf.GGUFWriter(path, arch, endianess=order)
        for key, value in (keys or {}).items():
            add_key(writer, key, value)
        for tensor, data in (tensors or {}).items():
            if isinstance(data, tuple):
                raw, kind = data
                writer.add_tensor(tensor, raw, raw_dtype=gguf.GGMLQuantizationType[kind])
            else:
                writer.add_tensor(tensor, data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, tuple):
        writer.add_key_value(key, value[1], gguf.GGUFValueType[value[0]])
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


@pytest.fixture(scope="session")
def model(kit: Path) -> Callable[[str], GGUFFile]:
    """A model of the kit by its folder's name."""
    opened: dict[str, GGUFFile] = {}

    def load(name: str) -> GGUFFile:
        if name not in opened:
            opened[name] = open_gguf(kit / "models" / name / "model-f32.gguf")
        return opened[name]

    return load


@pytest.fixture(scope="session")
def without() -> Callable[..., GGUFFile]:
    """An opened file as if it lacked some keys and tensors."""

    def remove(file: GGUFFile, *names: str) -> GGUFFile:
        header = file.headers[0]
        fields = {key: field for key, field in header.fields.items() if key not in names}
        tensors = {key: record for key, record in header.tensors.items() if key not in names}
        return GGUFFile(file.paths, [replace(header, fields=fields, tensors=tensors)])

    return remove


@pytest.fixture
def llama() -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys and tensors of a sound llama model with 2 layers and 8 tokens."""
    rng = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> Any:
        return rng.normal(0, 0.1, (rows, columns)).astype(np.float32)

    keys: dict[str, Any] = {
        "general.name": "Tiny",
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "llama.block_count": 2,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b", "c", "ab", "bc", "Ġ"],
        "tokenizer.ggml.token_type": [3, 3, 1, 1, 1, 1, 1, 1],
        "tokenizer.ggml.merges": ["a b", "b c"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }
    tensors = {
        "token_embd.weight": matrix(8, 32),
        "output_norm.weight": np.ones(32, np.float32),
        "output.weight": matrix(8, 32),
    }
    for block in range(2):
        shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32)}
        shapes |= {"attn_output": (32, 32), "ffn_gate": (64, 32), "ffn_up": (64, 32)}
        for name, shape in {**shapes, "ffn_down": (32, 64)}.items():
            tensors[f"blk.{block}.{name}.weight"] = matrix(*shape)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{block}.{name}.weight"] = np.ones(32, np.float32)
    return keys, tensors
