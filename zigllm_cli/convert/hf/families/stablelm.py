"""StableLM 3B, 2 and 12B."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys, SourceTensor
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, Family
from zigllm_cli.convert.values import Values, stacked
from zigllm_cli.errors import InputError

HEAD_NORM = re.compile(
    r"(?:model\.)?layers\.(\d+)\.self_attn\.([qk])_layernorm\.norms\.(\d+)\.weight"
)


class StableLM(Family):
    """A part of each head rotated; the 12B has a norm for each head, which are stacked."""

    architecture = "stablelm"
    block = LLAMA_BLOCK

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        self.put_sizes(keys, c.need("max_position_embeddings"), c.need("intermediate_size"))
        self.put_rotated_width(keys, 0.25)
        keys.u32(".attention.head_count_kv", c.kv_heads)
        keys.flag(".use_parallel_residual", c.get("use_parallel_residual") is not False)
        keys.f32(".attention.layer_norm_epsilon", c.number("layer_norm_eps", "norm_eps"))

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._norms: dict[tuple[str, str], dict[int, Values]] = {}

    def tensor(self, name: str, values: Values) -> Iterator[SourceTensor]:
        match = HEAD_NORM.fullmatch(name)
        if not match:
            yield from super().tensor(name, values)
            return
        layer, kind, head = match[1], match[2], int(match[3])
        norms = self._norms.setdefault((layer, kind), {})
        norms[head] = values
        heads = self.config.heads if kind == "q" else self.config.kv_heads
        if len(norms) == heads:
            if set(norms) != set(range(heads)):
                raise InputError(f"{values.name}: the model has {heads} heads")
            whole = stacked([norms[i] for i in range(heads)])
            yield whole.becomes(f"blk.{layer}.attn_{kind}_norm.weight")
