"""Mamba, Falcon Mamba, Mamba 2."""

from __future__ import annotations

from collections.abc import Iterator

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.exponential import torch_exp
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.values import Array, Values
from zigllm_cli.errors import InputError

CONTEXT = 1 << 20
"""A state has no length; some number must stand there."""


class Mamba(Family):
    """Mamba: the state's decay is stored as its logarithm, GGUF wants the decay."""

    architecture = "mamba"
    whole = {
        "embeddings": "token_embd",
        "embedding": "token_embd",
        "norm_f": "output_norm",
        "lm_head": "output",
    }
    block = {
        "norm": "attn_norm",
        "mixer.in_proj": "ssm_in",
        "mixer.conv1d": "ssm_conv1d",
        "mixer.x_proj": "ssm_x",
        "mixer.dt_proj": "ssm_dt",
        "mixer.A_log": "ssm_a",
        "mixer.D": "ssm_d",
        "mixer.out_proj": "ssm_out",
    }

    def put_keys(self, keys: Keys) -> None:
        c = self.config
        inner = c.whole("intermediate_size", "d_inner") or 2 * c.width
        if inner != 2 * c.width:
            raise InputError(f"{c.path}: intermediate_size must be twice hidden_size")
        put_state_keys(keys, c, inner, 16)
        rank = c.whole("time_step_rank", "dt_rank") or -(c.width // -16)
        keys.u32(".ssm.time_step_rank", rank)
        keys.flag(".ssm.dt_b_c_rms", c.get("model_type") == "falcon_mamba")

    def outside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        """An output that is the embedding is not stored twice."""
        if name == "lm_head.weight" and self.config.get("tie_word_embeddings") is not False:
            return
        yield from super().outside(name, values)

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name == "mixer.A_log":
            values = values.computed(decay)
        elif name == "mixer.conv1d.weight":
            values = values.squeezed()
        yield from super().inside(name, values)


class Mamba2(Family):
    """Mamba 2: one decay per head, a norm behind the gate."""

    architecture = "mamba2"
    whole = Mamba.whole | {"embeddings": "token_embd"}
    block = Mamba.block | {"mixer.dt_bias": "ssm_dt.bias", "mixer.norm": "ssm_norm"}

    def put_keys(self, keys: Keys) -> None:
        c, inner = self.config, self._inner()
        head = c.whole("mamba_d_head", "head_dim") or 64
        if inner % head:
            raise InputError(f"{c.path}: {inner} channels are not whole heads of {head}")
        put_state_keys(keys, c, inner, 128)
        keys.u32(".ssm.time_step_rank", inner // head)
        keys.u32(".ssm.group_count", self._groups())

    def inside(self, name: str, values: Values) -> Iterator[tuple[str, Values]]:
        if name in ("mixer.A_log", "mixer.D"):
            values = values.reshaped(values.shape[0], 1)
        if name == "mixer.A_log":
            values = values.computed(decay)
        elif name == "mixer.conv1d.weight":
            values = values.squeezed()
        elif name == "mixer.norm.weight":
            values = values.reshaped(self._groups(), self._inner() // self._groups())
        yield from super().inside(name, values)

    def _inner(self) -> int:
        c = self.config
        width = (c.whole("mamba_expand", "expand") or 2) * c.width
        return c.whole("mamba_d_ssm", "intermediate_size", "d_inner") or width

    def _groups(self) -> int:
        return self.config.whole("n_groups") or 1


def put_state_keys(keys: Keys, config: Config, inner: int, state: int) -> None:
    """What both have; `state` numbers per channel where the config does not say."""
    keys.u32(".context_length", CONTEXT)
    keys.u32(".embedding_length", config.width)
    keys.u32(".feed_forward_length", 0)
    keys.u32(".attention.head_count", 0)
    keys.u32(".block_count", config.layers)
    keys.u32(".ssm.conv_kernel", config.whole("conv_kernel", "d_conv") or 4)
    keys.u32(".ssm.inner_size", inner)
    keys.u32(".ssm.state_size", config.whole("state_size", "d_state") or state)
    epsilon = config.number("layer_norm_epsilon", "rms_norm_eps") or 1e-5
    keys.f32(".attention.layer_norm_rms_epsilon", epsilon)


def decay(logarithm: Array) -> Array:
    """-exp(A_log), as Mamba's paper has it."""
    return -torch_exp(logarithm)
