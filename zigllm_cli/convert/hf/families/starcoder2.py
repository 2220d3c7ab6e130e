"""StarCoder 2."""

from __future__ import annotations

from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family


class StarCoder2(Family):
    """Llama's attention with biases, GPT-2's feed-forward."""

    architecture = "starcoder2"
    block = LLAMA_BLOCK | {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
