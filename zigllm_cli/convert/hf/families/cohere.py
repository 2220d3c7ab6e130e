"""Command R, Command R+, Aya, Command R7B, Command A."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.family import LLAMA_BLOCK, QK_NORMS, Family
from zigllm_cli.convert.values import Values
from zigllm_cli.errors import InputError


class CommandR(Family):
    """Parallel branches, neighbours rotated, logits scaled."""

    architecture = "command-r"
    block = LLAMA_BLOCK | QK_NORMS

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        keys.f32(".logit_scale", self.config.number("logit_scale"))
        keys.text(".rope.scaling.type", "none")

    def context_length(self) -> int | None:
        return self.config.whole("model_max_length") or super().context_length()


class Cohere2(Family):
    """Three local layers to a global one that knows no positions."""

    architecture = "cohere2"

    def put_keys(self, keys: Keys) -> None:
        super().put_keys(keys)
        c = self.config
        share = c.number("rotary_pct")
        keys.f32(".logit_scale", c.number("logit_scale"))
        keys.u32(".attention.sliding_window", c.whole("sliding_window"))
        self.put_vocab_size(keys)
        width = c.width // c.heads
        keys.u32(".rope.dimension_count", int((1.0 if share is None else share) * width))
        keys.text(".rope.scaling.type", "none")

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """Norms may carry biases, which are nothing but zeros."""
        if name.endswith(".bias"):
            if values.floats().any():
                raise InputError(
                    f"{values.name} is not zero, which no reader of the file allows for"
                )
            return
        yield from super().inside(name, values)
