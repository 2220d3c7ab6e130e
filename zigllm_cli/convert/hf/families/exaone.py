"""EXAONE 4."""

from __future__ import annotations

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, QK_NORMS, Family


class Exaone4(Family):
    """Norms behind attention and feed-forward; the large one has local layers."""

    architecture = "exaone4"
    block = (
        LLAMA_BLOCK
        | QK_NORMS
        | {
            "post_attention_layernorm": "post_attention_norm",
            "post_feedforward_layernorm": "post_ffw_norm",
        }
    )

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        self.put_vocab_size(keys)
        if self.config.whole("sliding_window") is not None:
            self.put_window(keys, self.local_layers() or self._pattern())

    def _pattern(self) -> list[bool] | None:
        """`sliding_window_pattern` is a text such as LLLG, or after how many a global one comes."""
        pattern, layers = self.config.get("sliding_window_pattern"), self.config.layers
        if isinstance(pattern, str) and pattern:
            return [pattern[i % len(pattern)] == "L" for i in range(layers)]
        if isinstance(pattern, int) and pattern > 0:
            return [(i + 1) % pattern != 0 for i in range(layers)]
        return None
