"""Attention, with the whole matrix of scores."""

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import Attention, StoreCache


@run.register(StoreCache)
def store_cache(op: StoreCache, at: Interpreter) -> None:
    """Keys and values by head."""
    n = len(at.tokens)
    keys = at.read(op.out).reshape(n, op.heads, op.key_dim)
    values = at.read(op.values).reshape(n, op.heads, op.value_dim)
    at.cache[op.layer] = keys, values


@run.register(Attention)
def attention(op: Attention, at: Interpreter) -> None:
    """softmax(scale q k + mask) v."""
    q = at.read(op.q).reshape(len(at.tokens), op.kv_heads, -1, op.key_dim)
    keys, values = at.cache[op.layer]
    scores = np.einsum("qhgd,khd->hgqk", q, keys) * op.scale
    if op.softcap:
        scores = op.softcap * np.tanh(scores / op.softcap)
    distance = at.positions[:, None] - at.positions[None, :]
    if op.slopes is not None:
        slopes: Array = op.slopes.astype(at.dtype).reshape(op.kv_heads, -1, 1, 1)
        scores = scores - slopes * abs(distance)
    hidden = (distance < 0) & op.causal
    if op.window:
        hidden |= distance >= op.window
    scores = np.where(hidden, -np.inf, scores)
    top = scores.max(axis=-1, keepdims=True)
    scores = np.exp(scores - top)
    total = scores.sum(axis=-1, keepdims=True)
    if op.sinks is not None:
        total = total + np.exp(op.sinks.reshape(op.kv_heads, -1, 1, 1) - top)
    scores /= total
    at.write(op.out, np.einsum("hgqk,khd->qhgd", scores, values))
