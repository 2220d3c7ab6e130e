"""The gradient of every operation in float64, against central differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Rotation, Value

STEP = 1e-5
ROWS = 12


def values(*shapes: tuple[int, ...], seed: int = 0) -> list[Value]:
    """Random ones."""
    generator = np.random.default_rng(seed)
    return [Value(generator.normal(0, 1, shape)) for shape in shapes]


def check(operation: Callable[..., Value], inputs: list[Value], dropout: float = 0.0) -> None:
    """Compare all partial derivatives of a weighted sum of the operation's results."""
    tape = Tape(np.float64)

    def result(*, training: bool) -> Value:
        # In-place operations must not change what the next difference starts from.
        copies = [Value(value.data.copy()) for value in inputs]
        tape.begin(training=True, dropout=dropout, key=5)
        y = operation(tape, *copies)
        if training:
            y.grad, y.has_grad = weights.copy(), True
            tape.backward()
            for value, copy in zip(inputs, copies, strict=True):
                assert copy.has_grad
                assert copy.grad is not None
                value.grad = copy.grad.copy()
        return y

    weights = np.ones(1)
    weights = np.random.default_rng(9).normal(0, 1, result(training=False).data.shape)
    result(training=True)
    for value in inputs:
        assert value.grad is not None
        numeric = np.empty_like(value.data)
        for place in np.ndindex(value.data.shape):
            old, ends = value.data[place], []
            for side in (STEP, -STEP):
                value.data[place] = old + side
                ends.append((result(training=False).data * weights).sum())
            value.data[place] = old
            numeric[place] = (ends[0] - ends[1]) / (2 * STEP)
        scale = np.abs(numeric).max()
        np.testing.assert_allclose(value.grad, numeric, rtol=1e-5, atol=1e-5 * scale)


def test_embedding_with_repeated_tokens() -> None:
    tokens = np.array([1, 4, 1, 0, 1], np.int32)
    check(lambda t, table: t.embed(tokens, table), values((5, 3)))


def test_positions_of_several_sequences() -> None:
    check(lambda t, x, table: t.add_positions(x, table, 4), values((ROWS, 3), (6, 3)))


@pytest.mark.parametrize("bias", [False, True])
def test_linear(bias: bool) -> None:
    shapes = [(ROWS, 5), (7, 5), *([(7,)] if bias else [])]
    check(lambda t, *x: t.linear(*x), values(*shapes))


def test_a_value_used_twice_gets_both_gradients() -> None:
    def both(t: Tape, x: Value, a: Value, b: Value) -> Value:
        return t.add(t.linear(x, a), t.linear(x, b))

    check(both, values((ROWS, 5), (4, 5), (4, 5)))


def test_a_matrix_used_twice_gets_both_gradients() -> None:
    tokens = np.array([3, 0, 3, 1], np.int32)
    check(lambda t, w: t.linear(t.embed(tokens, w), w), values((5, 3)))


def test_rms_norm() -> None:
    check(lambda t, x, g: t.rms_norm(x, g, 1e-5), values((ROWS, 7), (7,)))


@pytest.mark.parametrize("bias", [False, True])
def test_layer_norm(bias: bool) -> None:
    shapes = [(ROWS, 7), (7,), *([(7,)] if bias else [])]
    check(lambda t, x, g, b=None: t.layer_norm(x, g, b, 1e-5), values(*shapes))


@pytest.mark.parametrize("name", ["rms", "layer"])
def test_a_residual_around_a_norm(name: str) -> None:
    def block(t: Tape, x: Value, g: Value, w: Value) -> Value:
        n = t.rms_norm(x, g, 1e-5) if name == "rms" else t.layer_norm(x, g, None, 1e-5)
        return t.add(x, t.linear(n, w))

    def two(t: Tape, x: Value, g: Value, w: Value, h: Value, v: Value) -> Value:
        return block(t, block(t, x, g, w), h, v)

    check(two, values((ROWS, 5), (5,), (5, 5), (5,), (5, 5)))


@pytest.mark.parametrize("name", ["gelu", "relu"])
def test_functions_of_single_values(name: str) -> None:
    check(lambda t, x: getattr(t, name)(x), values((ROWS, 9)))


def test_swiglu() -> None:
    check(lambda t, x: t.swiglu(x), values((ROWS, 10)))


def test_dropout_drops_the_same_values_on_the_way_back() -> None:
    check(lambda t, x: t.dropout(x), values((ROWS, 9)), dropout=0.4)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("rope", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 4), (4, 2), (3, 1)])
def test_attention(heads: int, kv_heads: int, rope: bool, dropout: float) -> None:
    dim, length = 4, 6
    rotation = Rotation.rope(9, dim, 100.0, np.float64) if rope else Rotation.none(np.float64)

    def operation(t: Tape, x: Value) -> Value:
        return t.attention(x, heads=heads, kv_heads=kv_heads, length=length, rotation=rotation)

    check(operation, values((2 * length, (heads + 2 * kv_heads) * dim)), dropout)


def test_cross_entropy_with_targets_that_do_not_count() -> None:
    targets = np.array([0, 4, -1, 2], np.int32)
    (logits,) = values((4, 5))
    tape = Tape(np.float64)

    def total(data: np.ndarray) -> float:
        tape.begin(training=False)
        return 0.7 * float(tape.cross_entropy(Value(data.copy()), targets).sum())

    tape.begin(training=True)
    copy = Value(logits.data.copy())
    losses = tape.cross_entropy(copy, targets, 0.7)
    assert losses[2] == 0
    assert 0.7 * losses.sum() == pytest.approx(total(logits.data), rel=1e-12)
    for place in np.ndindex(logits.data.shape):
        up, down = logits.data.copy(), logits.data.copy()
        up[place] += STEP
        down[place] -= STEP
        numeric = (total(up) - total(down)) / (2 * STEP)
        assert copy.grad is not None
        assert copy.grad[place] == pytest.approx(numeric, rel=1e-5, abs=1e-9)
