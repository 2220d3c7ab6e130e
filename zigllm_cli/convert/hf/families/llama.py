"""Llama and what is built like it: Mistral, Mixtral, Arcee, SmolLM3, Seed-OSS."""

from __future__ import annotations

from typing import ClassVar

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family


class Llama(Family):
    """Llama 1 to 3, Mistral, TinyLlama, Yi, SmolLM2."""

    architecture = "llama"
    permuted = True
    head_dim: ClassVar[int | None] = 0

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        self.put_vocab_size(keys)
        keys.u32(".rope.dimension_count", self.config.head_width)


class Mixtral(Llama):
    """Mixtral."""

    head_dim = None
    block = LLAMA_BLOCK | {
        "block_sparse_moe.gate": "ffn_gate_inp",
        "block_sparse_moe.experts.#.w1": "ffn_gate_exps",
        "block_sparse_moe.experts.#.w2": "ffn_down_exps",
        "block_sparse_moe.experts.#.w3": "ffn_up_exps",
    }


class Arcee(Llama):
    """AFM: a feed-forward without gate."""

    architecture = "arcee"


class SmolLM3(Llama):
    """SmolLM3: every fourth layer knows no positions, which readers of the file know."""

    architecture = "smollm3"
    head_dim = None


class SeedOss(Family):
    """Seed-OSS: biases on queries, keys and values, nothing permuted."""

    architecture = "seed_oss"
    head_dim = 128
    block = LLAMA_BLOCK | {"post_attention_layernorm": "post_attention_norm"}
