"""LLaMA: RMSNorm, rotary positions, SwiGLU, grouped-query attention. Touvron et al. 2023.

    x = embed(token)
    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      n = RMSNorm(x)
                x += W_down (silu(W_gate n) * W_up n)                     n = RMSNorm(x)
    logits = W_output RMSNorm(x)

Pairs of rotated values are neighbours, as in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zigllm_cli.train.shape import Shape, Tensor
from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Array, Rotation, Value


def tensors(s: Shape) -> list[Tensor]:
    """Parameters, in the order of the file."""
    found = [Tensor("token_embd", (s.vocabulary, s.width), s.init)]
    for i in range(s.layers):
        found += [
            Tensor(f"blk.{i}.attn_norm", (s.width,), fill=1),
            Tensor(f"blk.{i}.attn_qkv", (s.qkv, s.width), s.init),
            Tensor(f"blk.{i}.attn_output", (s.width, s.width), s.residual_init),
            Tensor(f"blk.{i}.ffn_norm", (s.width,), fill=1),
            Tensor(f"blk.{i}.ffn_gate_up", (2 * s.ff, s.width), s.init),
            Tensor(f"blk.{i}.ffn_down", (s.width, s.ff), s.residual_init),
        ]
    found.append(Tensor("output_norm", (s.width,), fill=1))
    if not s.tied:
        found.append(Tensor("output", (s.vocabulary, s.width), s.init))
    return found


def forward(t: Tape, w: Mapping[str, Value], s: Shape, tokens: Array) -> Value:
    """Logits of every position."""
    length = tokens.shape[1]
    rotation = Rotation.rope(length, s.head_dim, s.rope_base, t.dtype)
    x = t.dropout(t.embed(tokens.ravel(), w["token_embd"]))
    for i in range(s.layers):
        n = t.rms_norm(x, w[f"blk.{i}.attn_norm"], s.epsilon)
        a = t.attention(
            t.linear(n, w[f"blk.{i}.attn_qkv"]),
            heads=s.heads,
            kv_heads=s.kv_heads,
            length=length,
            rotation=rotation,
        )
        x = t.add(x, t.dropout(t.linear(a, w[f"blk.{i}.attn_output"])))
        n = t.rms_norm(x, w[f"blk.{i}.ffn_norm"], s.epsilon)
        f = t.swiglu(t.linear(n, w[f"blk.{i}.ffn_gate_up"]))
        x = t.add(x, t.dropout(t.linear(f, w[f"blk.{i}.ffn_down"])))
    n = t.rms_norm(x, w["output_norm"], s.epsilon)
    return t.linear(n, w["token_embd" if s.tied else "output"])


def split(s: Shape, name: str) -> dict[str, int]:
    """Queries, keys, values, gate and up are tensors of their own in the file."""
    block = name.rpartition(".")[0]
    if name.endswith("attn_qkv"):
        kv = s.kv_heads * s.head_dim
        return {f"{block}.attn_q": s.width, f"{block}.attn_k": kv, f"{block}.attn_v": kv}
    if name.endswith("ffn_gate_up"):
        return {f"{block}.ffn_gate": s.ff, f"{block}.ffn_up": s.ff}
    return {}


def metadata(s: Shape) -> dict[str, Any]:
    """Keys behind `llama.`."""
    return {
        **s.keys,
        "attention.head_count_kv": s.kv_heads,
        "attention.layer_norm_rms_epsilon": s.epsilon,
        "rope.dimension_count": s.head_dim,
        "rope.freq_base": s.rope_base,
        "vocab_size": s.vocabulary,
    }
