"""Qwen 1: a folder in its own spelling, made from the kit's file, gives that file again."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from pathlib import Path

import numpy as np
from conversions import converted, keys, write_safetensors

from zigllm_cli.convert.hf.families.qwen import Qwen
from zigllm_cli.convert.hf.tokenizer.tiktoken import merges_of, printable
from zigllm_cli.gguf import open_gguf
from zigllm_cli.tokenizers.bytelevel import original


def test_there_and_back(kit: Path, tmp_path: Path) -> None:
    source = kit / "models/qwen1/model-f32.gguf"
    file = open_gguf(source)
    shutil.copy(kit / "models/qwen1/hf/tokenizer.json", tmp_path)
    config = {
        "architectures": ["QWenLMHeadModel"],
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "kv_channels": 16,
        "seq_length": 256,
        "layer_norm_epsilon": 1e-6,
        "rotary_emb_base": 10000,
        "vocab_size": 512,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = {new: f"transformer.{old}" for old, new in Qwen.whole.items()}
    names["output"] = "lm_head"
    for layer in range(2):
        for old, new in Qwen.block.items():
            names[f"blk.{layer}.{new}"] = f"transformer.h.{layer}.{old}"
    tensors = {}
    for name, tensor in file.tensors.items():
        stem, _, ending = name.rpartition(".")
        array = tensor.numpy().view(np.float32).reshape(tuple(reversed(tensor.shape)))
        tensors[f"{names[stem]}.{ending}"] = ("F32", array)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    converted(tmp_path, tmp_path / "out.gguf", name="qwen1", pre="qwen2")
    mine = open_gguf(tmp_path / "out.gguf")
    assert {name: bytes(t.data) for name, t in mine.tensors.items()} == {
        name: bytes(t.data) for name, t in file.tensors.items()
    }
    ours, wanted = keys(mine), keys(file)
    assert {key: ours.get(key) for key in wanted} == wanted


def test_merges_from_ranks(kit: Path, tmp_path: Path) -> None:
    """A tiktoken file of a vocabulary gives the merges that made the vocabulary."""
    metadata = open_gguf(kit / "models/qwen1/model-f32.gguf").metadata
    tokens = metadata["tokenizer.ggml.tokens"].tolist()[1:]
    ranks = {original(token): rank for rank, token in enumerate(tokens)}
    assert [printable(token) for token in ranks] == tokens
    assert merges_of(ranks) == metadata["tokenizer.ggml.merges"].tolist()
    folder = tmp_path / "hf"
    shutil.copytree(kit / "models/qwen1/hf", folder)
    (folder / "tokenizer.json").unlink()
    lines = [f"{b64encode(token).decode()} {rank}" for token, rank in ranks.items()]
    (folder / "qwen.tiktoken").write_text("\n".join(lines))
    converted(folder, tmp_path / "out.gguf")
    found = open_gguf(tmp_path / "out.gguf").metadata
    assert found["tokenizer.ggml.tokens"].tolist() == [*tokens, "<|endoftext|>"]
    assert found["tokenizer.ggml.merges"].tolist() == metadata["tokenizer.ggml.merges"].tolist()
    assert found["tokenizer.ggml.pre"] == "qwen2"
