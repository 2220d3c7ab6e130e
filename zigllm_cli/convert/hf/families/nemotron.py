"""Nemotron 4, Minitron."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family


class Nemotron(Family):
    """Norms count from one, half of each head is rotated, the feed-forward has no gate."""

    architecture = "nemotron"
    one_more = True

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        self.put_vocab_size(keys)
        share = c.rope_number("partial_rotary_factor")
        epsilon = c.number("norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")
        keys.f32(".attention.layer_norm_epsilon", epsilon)
        rotated = int((0.5 if share is None else share) * c.width) // c.heads
        keys.u32(".rope.dimension_count", rotated)
        factor = c.number("factor") or c.rope_number("factor")
        keys.text(".rope.scaling.type", "none" if factor is None else "linear")
        keys.f32(".rope.scaling.factor", factor)
