"""GPT-2 and its relatives: StarCoder, GPT-J, GPT-Neo."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError
from zigllm_cli.gguf import ValueType

WHOLE = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "lm_head": "output",
}
BLOCK = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


class GPT2(Family):
    """GPT-2: matrices of its own `Conv1D` lie with rows and columns exchanged."""

    architecture = "gpt2"
    whole, block = WHOLE, BLOCK

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, c.need("n_ctx", "n_positions"), c.whole("n_inner") or 4 * c.width)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = values.transposed()
        yield from super().inside(name, values)


class StarCoder(Family):
    """StarCoder, SantaCoder: all query heads share one key head."""

    architecture = "starcoder"
    whole, block = WHOLE, BLOCK

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        if c.get("multi_query") is False:
            raise InputError(f"{c.path}: GPTBigCode without multi_query is not converted")
        self.put_sizes(keys, c.need("n_positions"), c.whole("n_inner") or 4 * c.width)
        keys.u32(".attention.head_count_kv", 1)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)


class GPTJ(Family):
    """GPT-J: rotary positions, parallel branches. GGUF's names are those of gguf-py."""

    architecture = "gptj"
    whole = WHOLE
    block = {
        "ln_1": "attn_norm",
        "attn.q_proj": "attn_q",
        "attn.k_proj": "attn_k",
        "attn.v_proj": "attn_v",
        "attn.out_proj": "attn_output",
        "mlp.fc_in": "ffn_up",
        "mlp.fc_out": "ffn_down",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, c.need("n_positions"), c.whole("n_inner") or 4 * c.width)
        keys.u32(".rope.dimension_count", c.whole("rotary_dim") or c.head_width)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)


class GPTNeo(Family):
    """GPT-Neo: scores are not scaled, every other layer looks through a window."""

    architecture = "gptneo"
    whole = WHOLE
    block = BLOCK | {
        "attn.attention.q_proj": "attn_q",
        "attn.attention.k_proj": "attn_k",
        "attn.attention.v_proj": "attn_v",
        "attn.attention.out_proj": "attn_output",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(
            keys, c.need("max_position_embeddings"), c.whole("intermediate_size") or 4 * c.width
        )
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_epsilon") or 1e-5)
        keys.f32(".attention.scale", 1.0)
        keys.u32(".attention.sliding_window", c.whole("window_size") or 256)
        keys.array(".attention.sliding_window_pattern", ValueType.BOOL, self._local())

    def _local(self) -> list[bool]:
        layers = self.config.get("attention_layers")
        if layers is None:
            types = self.config.get("attention_types") or [[["global", "local"], 1]]
            layers = [kind for kinds, count in types for _ in range(count) for kind in kinds]
        if len(layers) < self.config.layers:
            raise InputError(f"{self.config.path}: attention_types does not name every layer")
        return [kind == "local" for kind in layers[: self.config.layers]]
