"""Write a GGUF of random weights in the shape of a family, to measure speed with.

    python scripts/make_speed_model.py mixtral OUT.gguf [--type F16|Q8_0|Q4_0]

Its text is noise; its speed and memory are those of a trained model of the shape. Matrices are of
the type asked for, vectors and what llama.cpp never quantises stay F32. Needs numpy and gguf.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import gguf
import numpy as np

Shape = tuple[int, ...]
Tensors = Iterator[tuple[str, Shape]]
VOCABULARY = 32000


def dense(
    architecture: str,
    sizes: tuple[int, int, int, int, int, int],
    tensors_of: Callable[..., Iterator[tuple[str, Shape]]],
    tied: bool = False,
    **more: Any,
) -> tuple[str, dict[str, Any], Tensors]:
    """Layers, width, feed-forward, heads, heads of keys, head dim; and what stands in a block."""
    blocks, width, ff, heads, kv_heads, dim = sizes
    keys = {
        "block_count": blocks,
        "feed_forward_length": ff,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        **more,
    }

    def tensors() -> Tensors:
        if "attention.layer_norm_epsilon" in more:
            yield "output_norm.bias", (width,)
        for i in range(blocks):
            for name, shape in tensors_of(width, ff, heads * dim, kv_heads * dim):
                yield f"blk.{i}.{name}", shape

    return architecture, with_width(keys, width), with_ends(width, tensors(), tied)


def qwen2() -> tuple[str, dict[str, Any], Tensors]:
    """0.4 B: the shape of Qwen 2 0.5B, with a smaller vocabulary."""

    def block(width: int, ff: int, q: int, kv: int) -> Iterator[tuple[str, Shape]]:
        yield "attn_norm.weight", (width,)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield f"attn_{name}.weight", (rows, width)
            yield f"attn_{name}.bias", (rows,)
        yield "attn_output.weight", (width, q)
        yield "ffn_norm.weight", (width,)
        yield "ffn_gate.weight", (ff, width)
        yield "ffn_up.weight", (ff, width)
        yield "ffn_down.weight", (width, ff)

    sizes = (24, 896, 4864, 14, 2, 64)
    return dense("qwen2", sizes, block, **{"attention.layer_norm_rms_epsilon": 1e-6})


def gemma2() -> tuple[str, dict[str, Any], Tensors]:
    """0.6 B: a quarter of Gemma 2 2B."""

    def block(width: int, ff: int, q: int, kv: int) -> Iterator[tuple[str, Shape]]:
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            yield f"{name}.weight", (width,)
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield f"attn_{name}.weight", (rows, width)
        yield "attn_output.weight", (width, q)
        yield "ffn_gate.weight", (ff, width)
        yield "ffn_up.weight", (ff, width)
        yield "ffn_down.weight", (width, ff)

    sizes = (18, 1536, 5120, 8, 4, 256)
    more = {
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.key_length": 256,
        "attention.value_length": 256,
        "attention.sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    }
    return dense("gemma2", sizes, block, tied=True, **more)


def phi3() -> tuple[str, dict[str, Any], Tensors]:
    """0.6 B: a sixth of Phi 3 mini."""

    def block(width: int, ff: int, q: int, kv: int) -> Iterator[tuple[str, Shape]]:
        yield "attn_norm.weight", (width,)
        yield "attn_qkv.weight", (q + 2 * kv, width)
        yield "attn_output.weight", (width, q)
        yield "ffn_norm.weight", (width,)
        yield "ffn_up.weight", (2 * ff, width)
        yield "ffn_down.weight", (width, ff)

    sizes = (18, 1536, 4096, 16, 16, 96)
    more = {"attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 96}
    return dense("phi3", sizes, block, **more)


def gptneox() -> tuple[str, dict[str, Any], Tensors]:
    """0.4 B: the shape of Pythia 410M, with a smaller vocabulary."""

    def block(width: int, ff: int, q: int, kv: int) -> Iterator[tuple[str, Shape]]:
        for name in ("attn_norm", "ffn_norm"):
            yield f"{name}.weight", (width,)
            yield f"{name}.bias", (width,)
        matrices = {
            "attn_qkv": (q + 2 * kv, width),
            "attn_output": (width, q),
            "ffn_up": (ff, width),
            "ffn_down": (width, ff),
        }
        for name, shape in matrices.items():
            yield f"{name}.weight", shape
            yield f"{name}.bias", shape[:1]

    sizes = (24, 1024, 4096, 16, 16, 64)
    more = {
        "attention.layer_norm_epsilon": 1e-5,
        "rope.dimension_count": 16,
        "use_parallel_residual": True,
    }
    return dense("gptneox", sizes, block, **more)


def mixtral() -> tuple[str, dict[str, Any], Tensors]:
    """0.6 B: 4 experts, 2 of them used."""
    blocks, width, ff, heads, kv_heads, experts = 16, 1024, 2816, 16, 4, 4
    keys = {
        "block_count": blocks,
        "embedding_length": width,
        "feed_forward_length": ff,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": width // heads,
        "expert_count": experts,
        "expert_used_count": 2,
    }

    def tensors() -> Tensors:
        kv = width // heads * kv_heads
        for i in range(blocks):
            yield f"blk.{i}.attn_norm.weight", (width,)
            yield f"blk.{i}.attn_q.weight", (width, width)
            yield f"blk.{i}.attn_k.weight", (kv, width)
            yield f"blk.{i}.attn_v.weight", (kv, width)
            yield f"blk.{i}.attn_output.weight", (width, width)
            yield f"blk.{i}.ffn_norm.weight", (width,)
            yield f"blk.{i}.ffn_gate_inp.weight", (experts, width)
            yield f"blk.{i}.ffn_gate_exps.weight", (experts, ff, width)
            yield f"blk.{i}.ffn_up_exps.weight", (experts, ff, width)
            yield f"blk.{i}.ffn_down_exps.weight", (experts, width, ff)

    return "llama", with_width(keys, width), with_ends(width, tensors())


def mamba() -> tuple[str, dict[str, Any], Tensors]:
    """0.7 B: the shape of mamba-790m."""
    blocks, width, states, taps = 44, 1536, 16, 4
    inner, rank = 2 * width, width // 16
    keys = {
        "block_count": blocks,
        "embedding_length": width,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "ssm.conv_kernel": taps,
        "ssm.inner_size": inner,
        "ssm.state_size": states,
        "ssm.time_step_rank": rank,
    }

    def tensors() -> Tensors:
        for i in range(blocks):
            yield f"blk.{i}.attn_norm.weight", (width,)
            yield f"blk.{i}.ssm_in.weight", (2 * inner, width)
            yield f"blk.{i}.ssm_conv1d.weight", (inner, taps)
            yield f"blk.{i}.ssm_conv1d.bias", (inner,)
            yield f"blk.{i}.ssm_x.weight", (rank + 2 * states, inner)
            yield f"blk.{i}.ssm_dt.weight", (inner, rank)
            yield f"blk.{i}.ssm_dt.bias", (inner,)
            yield f"blk.{i}.ssm_a", (inner, states)
            yield f"blk.{i}.ssm_d", (inner,)
            yield f"blk.{i}.ssm_out.weight", (width, inner)

    return "mamba", with_width(keys, width), with_ends(width, tensors())


SHAPES = {
    "gemma2": gemma2,
    "gptneox": gptneox,
    "mamba": mamba,
    "mixtral": mixtral,
    "phi3": phi3,
    "qwen2": qwen2,
}
FLOAT = ("ffn_gate_inp", "conv1d", "ssm_a")
"""Matrices that are not quantised."""


def with_width(keys: dict[str, Any], width: int) -> dict[str, Any]:
    """With the sizes that all have."""
    return {"context_length": 4096, "vocab_size": VOCABULARY, **keys, "embedding_length": width}


def with_ends(width: int, blocks: Tensors, tied: bool = False) -> Tensors:
    """With what is before and behind the blocks; `tied`: the embedding is the output as well."""
    yield "token_embd.weight", (VOCABULARY, width)
    yield "output_norm.weight", (width,)
    if not tied:
        yield "output.weight", (VOCABULARY, width)
    yield from blocks


def values_of(name: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Of a size that keeps activations near 1, and states from growing."""
    if name.endswith("ssm_a"):
        return -np.tile(np.arange(1, shape[1] + 1, dtype=np.float32), (shape[0], 1))
    if len(shape) == 1:
        fill = -4.0 if name.endswith("dt.bias") else 0.0 if name.endswith("bias") else 1.0
        return np.full(shape, fill, np.float32)
    scale = np.float32(1.0 if name == "token_embd.weight" else shape[-1] ** -0.5)
    return rng.standard_normal(shape, dtype=np.float32) * scale


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out")
    parser.add_argument("--type", default="Q8_0", choices=["F16", "Q8_0", "Q4_0"])
    options = parser.parse_args()
    architecture, keys, tensors = SHAPES[options.shape]()
    kind, rng = gguf.GGMLQuantizationType[options.type], np.random.default_rng(0)
    writer = gguf.GGUFWriter(options.out, architecture)
    writer.add_tokenizer_model("none")
    for key, value in keys.items():
        adders = {bool: writer.add_bool, float: writer.add_float32, int: writer.add_uint32}
        adders[type(value)](f"{architecture}.{key}", value)
    for name, shape in tensors:
        values = values_of(name, shape, rng)
        if len(shape) == 1 or any(part in name for part in FLOAT):
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
