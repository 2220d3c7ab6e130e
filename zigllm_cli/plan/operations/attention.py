"""Attention, and the cache that it looks into."""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.plan.operations.base import Operation, Value, Vector
from zigllm_cli.plan.operations.rotary import Rotation


@dataclass(frozen=True, eq=False)
class StoreCache(Operation):
    """Keys and values of the batch written to a layer's cache; `out` is the keys.

    Attributes:
        rotation: what the keys were rotated by, so that a context shift can turn them back.
    """

    values: Value
    layer: int
    heads: int
    key_dim: int
    value_dim: int
    rotation: Rotation | None


@dataclass(frozen=True, eq=False)
class Attention(Operation):
    """out = softmax(scale q k + mask) v over the layer's cache; grouped heads.

    Attributes:
        window: how many positions a token sees, itself included; 0 for all.
        softcap: cap * tanh(score / cap) where not 0.
        slopes: [heads], by which scores fall with each position of distance (ALiBi).
        causal: whether a token sees only those before it and itself.
        sinks: of each head one more score, without a value.
    """

    q: Value
    layer: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    scale: float
    window: int = 0
    softcap: float = 0.0
    slopes: Vector | None = None
    causal: bool = True
    sinks: Vector | None = None
