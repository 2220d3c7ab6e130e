"""ERNIE 4.5, dense."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.values import Values


class Ernie45(Family):
    """Neighbours are rotated in the checkpoint already; some files have fused matrices."""

    architecture = "ernie4_5"

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        c = self.config
        if name == "self_attn.qkv_proj.weight":
            sizes = [heads * c.head_width for heads in (c.heads, c.kv_heads, c.kv_heads)]
            for new, part in zip(("attn_q", "attn_k", "attn_v"), values.split(*sizes), strict=True):
                yield f"{new}.weight", part
        elif name == "mlp.up_gate_proj.weight":
            half = values.shape[0] // 2
            gate, up = values.split(half, half)
            yield "ffn_up.weight", up
            yield "ffn_gate.weight", gate
        else:
            yield from super().inside(name, values)
