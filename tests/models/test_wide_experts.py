"""Experts whose rows are longer than a step of 256: the kit's are narrower."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from model_runs import logits, nmse, runner

WIDTH, FF, HEADS, EXPERTS, WORDS = 544, 288, 4, 4, 64


def write_model(path: Path, kind: str) -> None:
    """A llama of one layer with four experts of a type, two of which a token meets."""
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FF)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(2)
    writer.add_vocab_size(WORDS)

    def matrix(name: str, *shape: int, stored: str = "F32") -> None:
        values = rng.standard_normal(shape, dtype=np.float32) / np.sqrt(np.float32(shape[-1]))
        ggml = gguf.GGMLQuantizationType[stored]
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, ggml), raw_dtype=ggml)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    matrix("token_embd", WORDS, WIDTH)
    norm("output_norm")
    norm("blk.0.attn_norm")
    norm("blk.0.ffn_norm")
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        matrix(f"blk.0.{name}", WIDTH, WIDTH)
    matrix("blk.0.ffn_gate_inp", EXPERTS, WIDTH)
    matrix("blk.0.ffn_gate_exps", EXPERTS, FF, WIDTH, stored=kind)
    matrix("blk.0.ffn_up_exps", EXPERTS, FF, WIDTH, stored=kind)
    matrix("blk.0.ffn_down_exps", EXPERTS, WIDTH, FF, stored=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", ["F16", "Q4_0", "Q8_0"])
def test_many_tokens_as_one_by_one(tmp_path: Path, kind: str) -> None:
    """In one batch with long and short runs, in small pieces, and token by token."""
    path = tmp_path / "model.gguf"
    write_model(path, kind)
    tokens = [int(token) for token in np.random.default_rng(6).integers(0, WORDS, 45)]
    with runner(path, context=64, kv_type="f32") as run:
        singly = logits(run, tokens, 1)
        assert np.abs(singly).max() > 0.1
        for piece in (45, 12, 5):
            assert nmse(logits(run, tokens, piece), singly) <= 1e-5
