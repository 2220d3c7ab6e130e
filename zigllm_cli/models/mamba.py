"""Mamba: a selective state-space model in place of attention and feed-forward layer.

    x = embed(token)
    per block:  [u | z] = W_in RMSNorm(x)
                u = silu(conv(u))                            causal, channel by channel, a few taps
                [d | B | C] = W_x u                          (FalconMamba: each RMS-normed)
                delta = softplus(W_dt d + bias)
                h = exp(delta A) h + (delta u) B             a state of s numbers per channel
                y = C . h + D u
                x += W_out (y * silu(z))
    logits = W_output RMSNorm(x)

What a sequence remembers has a fixed size: the last inputs of the convolution, and h. Gu and Dao
2023 (arXiv 2312.00752); FalconMamba: Zuo et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.block import rows_of
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.operations import Value, Weight
from zigllm_cli.plan.plan import Plan
from zigllm_cli.plan.states import StateShape

CONVOLUTION, SCAN = 0, 1
"""Parts of a layer's state."""


@dataclass(frozen=True)
class MambaHyperparameters:
    """What the metadata of a `mamba` file say.

    Attributes:
        width: floats of the residual stream.
        inner: channels of the state-space model.
        states: numbers per channel.
        taps: of the convolution.
        rank: of the projection to delta.
        normed: whether d, B and C are RMS-normed (FalconMamba).
    """

    blocks: int
    width: int
    inner: int
    states: int
    taps: int
    rank: int
    normed: bool
    epsilon: float
    context_length: int

    @classmethod
    def read(cls, file: GGUFFile) -> MambaHyperparameters:
        """From a file's metadata.

        Raises:
            InputError: a key is missing or makes no sense.
        """
        keys = Keys(file)
        width, inner = keys.count("embedding_length"), keys.count("ssm.inner_size")
        if inner != 2 * width:
            raise InputError(f"ssm.inner_size is {inner}: twice the width of {width} is needed")
        return cls(
            blocks=keys.count("block_count", most=10_000),
            width=width,
            inner=inner,
            states=keys.count("ssm.state_size", most=4096),
            taps=keys.count("ssm.conv_kernel", most=64),
            rank=keys.count("ssm.time_step_rank"),
            normed=keys.flag("ssm.dt_b_c_rms", False),
            epsilon=keys.number("attention.layer_norm_rms_epsilon"),
            context_length=keys.count("context_length", most=1 << 31),
        )


def split(weight: Weight, *sizes: int) -> list[Weight]:
    """A matrix cut into so many rows each."""
    ends = accumulate(sizes)
    return [rows_of(weight, slice(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


class Mamba:
    """Mamba, Falcon Mamba."""

    norm, places = "rms", "in the state"

    def __init__(self, file: GGUFFile) -> None:
        self.tensors, self.hyper = Tensors(file), MambaHyperparameters.read(file)
        h = self.hyper
        self.vocabulary, self.context_length = self.tensors.vocabulary, h.context_length
        padded = -(-h.inner // 16) * 16
        self.layers = (StateShape(((h.taps - 1) * h.inner, padded * h.states)),) * h.blocks

    def plan(self, context: int) -> Plan:
        """The forward pass; a context of any length costs the same."""
        h, t, plan = self.hyper, self.tensors, Plan()
        x = plan.embed(t.matrix("token_embd.weight", self.vocabulary, h.width))
        for block in range(h.blocks):
            x = self._mixer(plan, block, x)
        n = plan.rms_norm(x, t.vector("output_norm.weight", h.width), h.epsilon, name="h.head")
        plan.finish(n, plan.product(t.output(self.vocabulary, h.width), n, "logits"))
        return plan

    def _mixer(self, plan: Plan, block: int, x: Value) -> Value:
        h, t, name = self.hyper, self.tensors, f"blk.{block}."
        n = plan.rms_norm(x, t.vector(name + "attn_norm.weight", h.width), h.epsilon)
        w_in = t.matrix(name + "ssm_in.weight", 2 * h.inner, h.width)
        w_u, w_z = split(w_in, h.inner, h.inner)
        u, z = plan.product(w_u, n, "u"), plan.product(w_z, n, "z")
        taps = t.table(name + "ssm_conv1d.weight", h.inner, h.taps).T
        bias = t.optional_vector(name + "ssm_conv1d.bias", h.inner)
        u = plan.short_convolution(u, taps, bias, layer=block, part=CONVOLUTION)
        w_x = t.matrix(name + "ssm_x.weight", h.rank + 2 * h.states, h.inner)
        w_d, w_b, w_c = split(w_x, h.rank, h.states, h.states)
        d, b, c = (plan.product(w, u, v) for w, v in ((w_d, "d"), (w_b, "B"), (w_c, "C")))
        if h.normed:
            parts = ((d, "dt"), (b, "b"), (c, "c"))
            d, b, c = (self._normed(plan, v, f"{name}ssm_{part}_norm") for v, part in parts)
        w_dt = t.matrix(name + "ssm_dt.weight", h.inner, h.rank)
        delta = plan.product(w_dt, d, "delta", bias=t.vector(name + "ssm_dt.bias", h.inner))
        y = plan.selective_scan(
            u,
            plan.activation("softplus", delta),
            b,
            c,
            a=t.table(name + "ssm_a", h.inner, h.states),
            d=t.vector(name + "ssm_d", h.inner),
            layer=block,
            part=SCAN,
        )
        y = plan.activation("silu", z, y)
        if block == h.blocks - 1:  # only the rows whose logits are wanted go further
            y, x = plan.select(y), plan.select(x)
        return plan.product(t.matrix(name + "ssm_out.weight", h.width, h.inner), y, "x", add_to=x)

    def _normed(self, plan: Plan, value: Value, name: str) -> Value:
        weight = self.tensors.optional_vector(name + ".weight", value.width)
        return plan.rms_norm(value, weight, self.hyper.epsilon, name=value.name)
