"""GPT-2 as nanoGPT and minGPT train it. Radford et al. 2019.

    x = embed(token) + position
    per block:  x += W_o attention(W_qkv n)      n = LayerNorm(x)
                x += W_down gelu(W_up n)          n = LayerNorm(x)
    logits = W_output LayerNorm(x)

GELU by tanh. Without biases (nanoGPT's choice) the file holds zeros, since other engines ask for
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from zigllm_cli.train.shape import Shape, Tensor
from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Array, Rotation, Value


def tensors(s: Shape) -> list[Tensor]:
    """Parameters, in the order of the file."""
    found = [
        Tensor("token_embd", (s.vocabulary, s.width), s.init),
        Tensor("position_embd", (s.context, s.width), s.init),
    ]
    for i in range(s.layers):
        found += [
            *_norm(s, f"blk.{i}.attn_norm"),
            *_linear(s, f"blk.{i}.attn_qkv", 3 * s.width, s.width, s.init),
            *_linear(s, f"blk.{i}.attn_output", s.width, s.width, s.residual_init),
            *_norm(s, f"blk.{i}.ffn_norm"),
            *_linear(s, f"blk.{i}.ffn_up", s.ff, s.width, s.init),
            *_linear(s, f"blk.{i}.ffn_down", s.width, s.ff, s.residual_init),
        ]
    found += _norm(s, "output_norm")
    if not s.tied:
        found.append(Tensor("output", (s.vocabulary, s.width), s.init))
    return found


def _norm(s: Shape, name: str) -> list[Tensor]:
    gain = Tensor(name, (s.width,), fill=1)
    return [gain, Tensor(f"{name}.bias", (s.width,))] if s.bias else [gain]


def _linear(s: Shape, name: str, rows: int, columns: int, std: float) -> list[Tensor]:
    weight = Tensor(name, (rows, columns), std)
    return [weight, Tensor(f"{name}.bias", (rows,))] if s.bias else [weight]


def forward(t: Tape, w: Mapping[str, Value], s: Shape, tokens: Array) -> Value:
    """Logits of every position."""
    length = tokens.shape[1]
    rotation = Rotation.none(t.dtype)

    def norm(x: Value, name: str) -> Value:
        return t.layer_norm(x, w[name], w.get(f"{name}.bias"), s.epsilon)

    def linear(x: Value, name: str) -> Value:
        return t.linear(x, w[name], w.get(f"{name}.bias"))

    x = t.embed(tokens.ravel(), w["token_embd"])
    x = t.dropout(t.add_positions(x, w["position_embd"], length))
    for i in range(s.layers):
        a = t.attention(
            linear(norm(x, f"blk.{i}.attn_norm"), f"blk.{i}.attn_qkv"),
            heads=s.heads,
            kv_heads=s.heads,
            length=length,
            rotation=rotation,
        )
        x = t.add(x, t.dropout(linear(a, f"blk.{i}.attn_output")))
        f = t.gelu(linear(norm(x, f"blk.{i}.ffn_norm"), f"blk.{i}.ffn_up"))
        x = t.add(x, t.dropout(linear(f, f"blk.{i}.ffn_down")))
    return t.linear(norm(x, "output_norm"), w["token_embd" if s.tied else "output"])


def split(s: Shape, name: str) -> dict[str, int]:
    """The file's tensors are the parameters."""
    return {}


def constants(s: Shape) -> Iterator[tuple[str, Array]]:
    """The zeros that a file has in place of biases."""
    if s.bias:
        return
    sizes = {"attn_norm": s.width, "attn_qkv": 3 * s.width, "attn_output": s.width}
    sizes |= {"ffn_norm": s.width, "ffn_up": s.ff, "ffn_down": s.width}
    for i in range(s.layers):
        for name, size in sizes.items():
            yield f"blk.{i}.{name}.bias", np.zeros(size, np.float32)
    yield "output_norm.bias", np.zeros(s.width, np.float32)


def metadata(s: Shape) -> dict[str, Any]:
    """Keys behind `gpt2.`."""
    return {
        **s.keys,
        "attention.layer_norm_epsilon": s.epsilon,
    }
