"""Phi 1 to 4."""

from __future__ import annotations

from collections.abc import Iterator
from math import log, sqrt

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, LLAMA_WHOLE, Family
from zigllm_cli.convert.values import constant
from zigllm_cli.errors import InputError


class Phi2(Family):
    """Phi 1, 1.5 and 2: parallel branches, half of each head rotated."""

    architecture = "phi2"
    whole = LLAMA_WHOLE | {"final_layernorm": "output_norm"}
    block = LLAMA_BLOCK | {
        "self_attn.dense": "attn_output",
        "mlp.fc1": "ffn_up",
        "mlp.fc2": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        share = c.rope_number("partial_rotary_factor") or 0.5
        self.put_sizes(
            keys,
            c.need("n_positions", "max_position_embeddings"),
            c.whole("intermediate_size", "n_inner") or 4 * c.width,
        )
        keys.u32(".attention.head_count_kv", c.kv_heads)
        keys.f32(".attention.layer_norm_epsilon", self.norm_epsilon())
        keys.u32(".rope.dimension_count", int(share * c.width) // c.heads)
        keys.flag("tokenizer.ggml.add_bos_token", False)


class Phi3(Family):
    """Phi 3, 3.5 and 4: queries, keys and values in one matrix, gate and up in another."""

    architecture = "phi3"
    block = LLAMA_BLOCK | {
        "self_attn.qkv_proj": "attn_qkv",
        "mlp.gate_up_proj": "ffn_up",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, self._context(), c.need("intermediate_size"))
        keys.u32(".rope.scaling.original_context_length", self._original_context())
        keys.u32(".attention.head_count_kv", c.kv_heads)
        keys.f32(".attention.layer_norm_rms_epsilon", c.number("rms_norm_eps"))
        keys.u32(".rope.dimension_count", self._rotated())
        keys.f32(".rope.freq_base", c.rope_number("rope_theta") or self.theta)
        keys.u32(".attention.sliding_window", c.whole("sliding_window") or 0)
        if c.rope.get("long_factor"):
            keys.f32(".rope.scaling.attn_factor", self._attention_factor())

    def extra(self) -> Iterator[SourceTensor]:
        """The divisors of frequencies for long and for short contexts."""
        rope = self.config.rope
        if not rope.get("long_factor"):
            return
        for kind in ("long", "short"):
            factors = rope.get(f"{kind}_factor")
            if not isinstance(factors, list) or len(factors) != self._rotated() // 2:
                raise InputError(
                    f"{self.config.path}: {kind}_factor must be a list of {self._rotated() // 2}"
                )
            yield constant(kind, factors).becomes(f"rope_factors_{kind}.weight")

    def _context(self) -> int:
        return self.config.need("n_positions", "max_position_embeddings")

    def _original_context(self) -> int:
        return int(self.config.rope_number("original_max_position_embeddings") or self._context())

    def _rotated(self) -> int:
        share = self.config.rope_number("partial_rotary_factor") or 1.0
        return int(share * self.config.width) // self.config.heads

    def _attention_factor(self) -> float:
        """How much longer contexts sharpen attention (LongRoPE, Ding et al. 2024; YaRN)."""
        scale = self._context() / self._original_context()
        if scale <= 1:
            return 1.0
        if self.config.rope_type == "longrope":
            return sqrt(1 + log(scale) / log(self._original_context()))
        if self.config.rope_type == "yarn":
            return 0.1 * log(scale) + 1
        raise InputError(
            f"{self.config.path}: rope_type is {self.config.rope_type!r:.60}, which is not known"
        )
