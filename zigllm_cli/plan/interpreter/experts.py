"""Mixture of experts: a loop over experts, each with the tokens that chose it."""

from __future__ import annotations

import numpy as np

from zigllm_cli.plan.interpreter.interpreter import Array, Interpreter, run
from zigllm_cli.plan.operations import ExpertProduct, HeadProduct, Route, WeightedSum


@run.register(Route)
def route(op: Route, at: Interpreter) -> None:
    """Scores, choice, weights."""
    how, x = op.routing, at.read(op.logits)
    scores = {"softmax": _softmax, "sigmoid": _sigmoid}.get(how.scores, np.array)(x)
    wanted = scores if op.bias is None else scores + op.bias
    if how.groups > 1:
        wanted = _limited(wanted, how.groups, how.groups_used)
    chosen = np.argsort(-wanted, axis=-1, kind="stable")[:, : how.used]
    weights = np.take_along_axis(scores, chosen, axis=-1)
    if how.scores == "softmax_chosen":
        weights = _softmax(weights)
    if how.normalise:
        weights = weights / np.maximum(weights.sum(axis=-1, keepdims=True), 2.0**-14)
    at.chosen = chosen
    at.write(op.out, weights * how.factor)


def _softmax(x: Array) -> Array:
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return np.asarray(y)


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def _limited(scores: Array, groups: int, kept: int) -> Array:
    """Scores, lowest where an expert's group is not among the best."""
    parts = scores.reshape(len(scores), groups, -1)
    sums = np.sort(parts, axis=-1)[..., -2:].sum(axis=-1)
    best = np.argsort(-sums, axis=-1, kind="stable")[:, :kept]
    stays = np.zeros((len(scores), groups), bool)
    np.put_along_axis(stays, best, True, axis=-1)
    limited: Array = np.where(stays[..., None], parts, -np.inf).reshape(scores.shape)
    return limited


@run.register(ExpertProduct)
def expert_product(op: ExpertProduct, at: Interpreter) -> None:
    """W x + bias of each token's experts."""
    chosen = at.chosen
    tokens, used = chosen.shape
    x = at.read(op.x).reshape(tokens, -1, op.weight.columns)
    x = np.broadcast_to(x, (tokens, used, op.weight.columns))
    y = np.empty((tokens, used, op.weight.rows), x.dtype)
    for expert in np.unique(chosen):
        here = chosen == expert
        y[here] = x[here] @ at.weight(op.weight.matrix(int(expert))).T
        if op.bias is not None:
            y[here] += op.bias[expert]
    at.write(op.out, y)


@run.register(WeightedSum)
def weighted_sum(op: WeightedSum, at: Interpreter) -> None:
    """A sum over the parts of y."""
    weights = at.read(op.weights)
    y = at.read(op.y).reshape(*weights.shape, -1)
    total = (weights[..., None] * y).sum(axis=1)
    at.write(op.out, at.read(op.out) + total if op.add else total)


@run.register(HeadProduct)
def head_product(op: HeadProduct, at: Interpreter) -> None:
    """W_h x_h, head by head."""
    heads = len(op.weight.matrices)
    x = at.read(op.x).reshape(-1, heads, op.weight.columns)
    parts = [x[:, h] @ at.weight(op.weight.matrix(h)).T for h in range(heads)]
    at.write(op.out, np.stack(parts, axis=1))
