"""Operations and whole models in float32: results and gradients beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zigllm_cli.train.models import model
from zigllm_cli.train.parameters import Parameters
from zigllm_cli.train.shape import Shape
from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Rotation, Value

pytestmark = pytest.mark.oracle

TOLERANCE = 1e-4
"""Of the largest value."""

LENGTH, HEADS, KV_HEADS, DIM = 9, 6, 2, 8
TOKENS = np.array([3, 0, 3, 5, 1, 1], np.int32)


def near(ours: Any, theirs: Any) -> None:
    theirs = theirs.detach().numpy()
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()


def torch_attention(x: Any, *, rope: bool) -> Any:
    """Of columns [N, (H + 2 K) D]."""
    import torch

    q, k, v = x.split([HEADS * DIM, KV_HEADS * DIM, KV_HEADS * DIM], dim=1)
    q, k, v = (
        part.reshape(-1, LENGTH, part.shape[1] // DIM, DIM).transpose(1, 2) for part in (q, k, v)
    )
    if rope:
        angles = torch.arange(LENGTH)[:, None] * 100.0 ** (-torch.arange(0, DIM, 2) / DIM)
        turns = torch.polar(torch.ones_like(angles), angles)
        q, k = (
            torch.view_as_real(torch.view_as_complex(part.reshape(*part.shape[:-1], -1, 2)) * turns)
            for part in (q, k)
        )
        q, k = q.flatten(-2), k.flatten(-2)
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return y.transpose(1, 2).reshape(x.shape[0], -1)


def our_attention(t: Tape, x: Value, *, rope: bool) -> Value:
    kind = np.float32
    rotation = Rotation.rope(LENGTH, DIM, 100.0, kind) if rope else Rotation.none(kind)
    return t.attention(x, heads=HEADS, kv_heads=KV_HEADS, length=LENGTH, rotation=rotation)


def operations() -> dict[str, tuple[Callable[..., Value], Callable[..., Any], list[Any]]]:
    """Ours, PyTorch's, and the shapes of the inputs."""
    import torch
    from torch.nn import functional as f

    columns = (3 * LENGTH, (HEADS + 2 * KV_HEADS) * DIM)
    return {
        "embed": (
            lambda t, w: t.embed(TOKENS, w),
            lambda w: w[torch.from_numpy(TOKENS).long()],
            [(7, 33)],
        ),
        "positions": (
            lambda t, x, w: t.add_positions(x, w, 4),
            lambda x, w: x + w[:4].repeat(3, 1),
            [(12, 33), (5, 33)],
        ),
        "linear": (
            lambda t, x, w, b: t.linear(x, w, b),
            f.linear,
            [(50, 33), (65, 33), (65,)],
        ),
        "rms_norm": (
            lambda t, x, g: t.rms_norm(x, g, 1e-5),
            lambda x, g: f.rms_norm(x, (129,), g, 1e-5),
            [(50, 129), (129,)],
        ),
        "layer_norm": (
            lambda t, x, g, b: t.layer_norm(x, g, b, 1e-5),
            lambda x, g, b: f.layer_norm(x, (129,), g, b, 1e-5),
            [(50, 129), (129,), (129,)],
        ),
        "gelu": (
            lambda t, x: t.gelu(x),
            lambda x: f.gelu(x, approximate="tanh"),
            [(50, 129)],
        ),
        "relu": (lambda t, x: t.relu(x), f.relu, [(50, 129)]),
        "swiglu": (
            lambda t, x: t.swiglu(x),
            lambda x: f.silu(x[:, :65]) * x[:, 65:],
            [(50, 130)],
        ),
        "residual": (
            lambda t, x, w: t.add(x, t.linear(x, w)),
            lambda x, w: x + f.linear(x, w),
            [(50, 33), (33, 33)],
        ),
        "attention": (
            lambda t, x: our_attention(t, x, rope=False),
            lambda x: torch_attention(x, rope=False),
            [columns],
        ),
        "attention with rope": (
            lambda t, x: our_attention(t, x, rope=True),
            lambda x: torch_attention(x, rope=True),
            [columns],
        ),
    }


NAMES = (
    *("embed", "positions", "linear", "rms_norm", "layer_norm", "gelu", "relu", "swiglu"),
    *("residual", "attention", "attention with rope"),
)


@pytest.mark.parametrize("name", NAMES)
def test_operation(name: str) -> None:
    import torch

    ours, theirs, shapes = operations()[name]
    generator = np.random.default_rng(3)
    arrays = [generator.normal(0, 2, shape).astype(np.float32) for shape in shapes]
    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
    values = [Value(array) for array in arrays]
    tape = Tape(np.float32)
    tape.begin(training=True)
    y, expected = ours(tape, *values), theirs(*tensors)
    near(y.data, expected)
    weights = generator.normal(0, 1, y.data.shape).astype(np.float32)
    expected.backward(torch.from_numpy(weights.copy()))
    y.grad, y.has_grad = weights, True
    tape.backward()
    for value, tensor in zip(values, tensors, strict=True):
        near(value.grad, tensor.grad)


def test_cross_entropy() -> None:
    import torch

    generator = np.random.default_rng(4)
    logits = generator.normal(0, 4, (30, 300)).astype(np.float32)
    targets = generator.integers(0, 300, 30).astype(np.int32)
    targets[::7] = -1
    tensor = torch.from_numpy(logits.copy()).requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        tensor, torch.from_numpy(targets).long(), ignore_index=-1, reduction="none"
    )
    (0.25 * expected.sum()).backward()
    tape, value = Tape(np.float32), Value(logits)
    tape.begin(training=True)
    near(tape.cross_entropy(value, targets, 0.25), expected)
    near(value.grad, tensor.grad)


def test_a_whole_llama() -> None:
    """Our parameters in transformers' LLaMA: loss and gradients."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = Shape("llama", 50, 16, 2, 32, 4, 2, 48, tied=False, init=0.3)
    parameters = Parameters(model("llama").tensors(shape))
    flat = parameters.initial(1)
    gradients = np.zeros_like(flat)
    values = parameters.values(flat, gradients)
    tokens = np.random.default_rng(2).integers(0, 50, (3, 16)).astype(np.int32)
    targets = np.roll(tokens, -1, axis=1)

    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=16,
        rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    theirs = LlamaForCausalLM(config)
    state = {}
    for i in range(2):
        q, k, v = np.split(values[f"blk.{i}.attn_qkv"].data, [32, 48])
        gate, up = np.split(values[f"blk.{i}.ffn_gate_up"].data, [48])
        state |= {
            f"model.layers.{i}.self_attn.q_proj.weight": halves(q, 4),
            f"model.layers.{i}.self_attn.k_proj.weight": halves(k, 2),
            f"model.layers.{i}.self_attn.v_proj.weight": v,
            f"model.layers.{i}.self_attn.o_proj.weight": values[f"blk.{i}.attn_output"].data,
            f"model.layers.{i}.mlp.gate_proj.weight": gate,
            f"model.layers.{i}.mlp.up_proj.weight": up,
            f"model.layers.{i}.mlp.down_proj.weight": values[f"blk.{i}.ffn_down"].data,
            f"model.layers.{i}.input_layernorm.weight": values[f"blk.{i}.attn_norm"].data,
            f"model.layers.{i}.post_attention_layernorm.weight": values[f"blk.{i}.ffn_norm"].data,
        }
    state["model.embed_tokens.weight"] = values["token_embd"].data
    state["model.norm.weight"] = values["output_norm"].data
    state["lm_head.weight"] = values["output"].data
    theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
    logits = theirs(torch.from_numpy(tokens).long()).logits
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).long().flatten(), reduction="sum"
    )
    loss.backward()

    tape = Tape(np.float32)
    tape.begin(training=True)
    found = model("llama").forward(tape, values, shape, tokens)
    near(found.data, logits.flatten(0, 1))
    losses = tape.cross_entropy(found, targets.ravel())
    assert losses.sum() == pytest.approx(float(loss.detach()), rel=1e-5)
    tape.backward()
    layer = theirs.model.layers[1]
    near(values["token_embd"].grad, theirs.model.embed_tokens.weight.grad)
    near(values["blk.1.ffn_down"].grad, layer.mlp.down_proj.weight.grad)
    near(values["blk.1.attn_norm"].grad, layer.input_layernorm.weight.grad)
    near(halves(values["blk.1.attn_qkv"].grad[:32], 4), layer.self_attn.q_proj.weight.grad)
    near(values["output"].grad, theirs.lm_head.weight.grad)


def halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of neighbouring pairs in the order of transformers, which rotates halves of a head."""
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
