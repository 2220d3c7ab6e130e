"""Sources converted in tests, and GGUF files compared with what another program made of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zigllm_cli.convert.conversion import Conversion, Options
from zigllm_cli.convert.source import read_source
from zigllm_cli.convert.types import chosen_type, decide_types
from zigllm_cli.convert.write import write_conversion
from zigllm_cli.gguf import Array, GGUFFile, open_gguf


def converted(source: Path, target: Path, kind: str = "f32", **options: Any) -> Conversion:
    """Convert a source into a file."""
    conversion = read_source(source, Options(**options))
    decisions = decide_types(conversion, chosen_type(conversion, kind))
    write_conversion(conversion, target, decisions, threads=2)
    return conversion


def keys(file: GGUFFile) -> dict[str, tuple[str, Any]]:
    """Every key with its type and its value."""
    return {
        key: (
            field.type.name,
            (field.value.element_type.name, field.value.tolist())
            if isinstance(field.value, Array)
            else field.value,
        )
        for key, field in file.metadata.fields.items()
    }


def differences(mine: Path, theirs: Path, *, ordered: bool = True) -> Iterator[str]:
    """Names of keys and tensors in which two files differ; "order" if tensors come otherwise."""
    file, other = open_gguf(mine), open_gguf(theirs)
    ours, wanted = keys(file), keys(other)
    yield from (key for key in ours | wanted if ours.get(key) != wanted.get(key))
    if ordered and list(file.tensors) != list(other.tensors):
        yield "order"
    for name in {*file.tensors, *other.tensors}:
        if not (name in file.tensors and name in other.tensors):
            yield name
            continue
        tensor, like = file.tensors[name], other.tensors[name]
        if (tensor.shape, tensor.type) != (like.shape, like.type) or tensor.data != like.data:
            yield name


# ------------------------------------------------------------------ small sources


def write_safetensors(path: Path, tensors: dict[str, tuple[str, Any]]) -> None:
    """A file of arrays with the types that it shall say they have."""
    table, data = {}, b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        table[name] = {
            "dtype": dtype,
            "shape": list(np.shape(array)),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "vocab_size": 40,
}
"""A Llama in the spelling of older configs."""


def llama_tensors(config: dict[str, Any] = CONFIG, seed: int = 1) -> dict[str, Any]:
    """Random float32 weights under transformers' names."""
    rng = np.random.default_rng(seed)
    width, ff, vocab = (config[k] for k in ("hidden_size", "intermediate_size", "vocab_size"))
    kv = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocab, width),
        "model.norm.weight": (width,),
        "lm_head.weight": (vocab, width),
    }
    for layer in range(config["num_hidden_layers"]):
        for name, shape in {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (width, width),
            "self_attn.k_proj": (kv, width),
            "self_attn.v_proj": (kv, width),
            "self_attn.o_proj": (width, width),
            "mlp.gate_proj": (ff, width),
            "mlp.up_proj": (ff, width),
            "mlp.down_proj": (width, ff),
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def llama_folder(folder: Path, tensors: dict[str, Any] | None = None, **config: Any) -> Path:
    """A folder of a small Llama without a tokenizer."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    found = llama_tensors() if tensors is None else tensors
    write_safetensors(
        folder / "model.safetensors", {name: ("F32", array) for name, array in found.items()}
    )
    return folder


def without(found: Iterator[str], allowed: Collection[str]) -> set[str]:
    """Differences but for those that are allowed."""
    return set(found) - set(allowed)
