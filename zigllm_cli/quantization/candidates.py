"""Which tensors are quantised: matrices, but not those that are small and sensitive."""

from __future__ import annotations

KEPT_PARTS = (
    # what steers rather than computes: gates of experts, tables, tiny low-rank matrices
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel",
    "per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight",
    "indexer.k_proj.weight", "indexer.q_proj.weight", "attn_rel_b.weight",
    # RWKV
    "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
    "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight",
    "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight",
    "time_mix_g1.weight", "time_mix_g2.weight",
    "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
    # pictures and sound
    ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd",
    ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip
"""Parts of the names of matrices that stay as they are."""

KEPT = ("position_embd.weight", "token_types.weight")


def is_candidate(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this name and shape (ggml's order) is quantised at all."""
    return (
        len(without_ones(shape)) >= 2
        and name.endswith("weight")
        and name not in KEPT
        and not any(part in name for part in KEPT_PARTS)
    )


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without dimensions of 1 at its end."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
