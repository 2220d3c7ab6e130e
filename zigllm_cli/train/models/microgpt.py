"""microgpt, Karpathy's smallest GPT: no biases, no gains, no final norm, ReLU.

    x = RMSNorm(embed(token) + position)
    per block:  x += W_o attention(W_q n, W_k n, W_v n)      n = RMSNorm(x)
                x += W_down relu(W_up n)                      n = RMSNorm(x)
    logits = W_output x

Trained by one fused kernel (`train.microgpt`), whose order of parameters is that of `tensors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zigllm_cli.train.shape import Shape, Tensor
from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Array, Rotation, Value


def tensors(s: Shape) -> list[Tensor]:
    """Parameters, in the order in which the original draws them."""
    found = [
        Tensor("token_embd", (s.vocabulary, s.width), s.init),
        Tensor("position_embd", (s.context, s.width), s.init),
        Tensor("output", (s.vocabulary, s.width), s.init),
    ]
    for i in range(s.layers):
        square = (s.width, s.width)
        names = ("attn_q", "attn_k", "attn_v", "attn_output")
        found += [Tensor(f"blk.{i}.{name}", square, s.init) for name in names]
        found.append(Tensor(f"blk.{i}.ffn_up", (s.ff, s.width), s.init))
        found.append(Tensor(f"blk.{i}.ffn_down", (s.width, s.ff), s.init))
    return found


def forward(t: Tape, w: Mapping[str, Value], s: Shape, tokens: Array) -> Value:
    """Logits of every position."""
    length = tokens.shape[1]
    ones = Value(np.ones(s.width, t.dtype))

    def norm(x: Value) -> Value:
        return t.rms_norm(x, ones, s.epsilon)

    x = t.embed(tokens.ravel(), w["token_embd"])
    x = norm(t.add_positions(x, w["position_embd"], length))
    for i in range(s.layers):
        n = norm(x)
        parts = [t.linear(n, w[f"blk.{i}.attn_{name}"]) for name in "qkv"]
        a = t.attention(
            t.side_by_side(parts),
            heads=s.heads,
            kv_heads=s.heads,
            length=length,
            rotation=Rotation.none(t.dtype),
        )
        x = t.add(x, t.linear(a, w[f"blk.{i}.attn_output"]))
        f = t.relu(t.linear(norm(x), w[f"blk.{i}.ffn_up"]))
        x = t.add(x, t.linear(f, w[f"blk.{i}.ffn_down"]))
    return t.linear(x, w["output"])


def split(s: Shape, name: str) -> dict[str, int]:
    """The file's tensors are the parameters."""
    return {}


def metadata(s: Shape) -> dict[str, Any]:
    """Keys behind `microgpt.`."""
    return {
        **s.keys,
        "attention.layer_norm_rms_epsilon": s.epsilon,
    }
