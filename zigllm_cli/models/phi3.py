"""Phi-3 and 4: LLaMA's block in fewer tensors, with factors for a long context.

    per block:  x += W_o attention(rope(W_q n), rope(W_k n), W_v n)      one tensor W_qkv
                x += W_down (silu(W_gate n) * W_up n)                    one tensor W_up

each n = RMSNorm(x). LongRoPE: the file has two sets of factors that divide the angles; which one
holds is decided by the context that is opened. Abdin et al. 2024; Ding et al. 2024.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.llama import Llama
from zigllm_cli.models.transformer import Hyperparameters


class Phi3Hyperparameters(Hyperparameters):
    """The files do not say that their factors are those of LongRoPE."""

    @classmethod
    def read(cls, file: GGUFFile, **kinds: Any) -> Hyperparameters:
        """As the metadata is, but for that."""
        hyper = super().read(file, **kinds)
        assert hyper.rope is not None
        return replace(hyper, rope=replace(hyper.rope, scaling="longrope"))


class Phi3(Llama):
    """Phi 3, 3.5 and 4."""

    pairing, Hyper = "neox", Phi3Hyperparameters
