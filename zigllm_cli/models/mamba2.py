"""Mamba 2: heads of channels with one decay each, all projections at once.

    per block:  [z | u | B | C | d] = W_in RMSNorm(x)
                u, B, C = silu(conv(u)), silu(conv(B)), silu(conv(C))
                delta = softplus(d + bias)                   one per head
                h = exp(delta A) h + (delta u) B             A a number per head; B, C per group
                y = C . h + D u
                x += W_out RMSNorm(y * silu(z))              normed in each group's channels

The rest is Mamba's (`mamba`). Dao and Gu 2024 (arXiv 2405.21060).
"""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.errors import InputError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.mamba import split
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.operations import Value
from zigllm_cli.plan.plan import Plan
from zigllm_cli.plan.states import StateShape

PARTS = U, B, C, SCAN = range(4)
"""Of a layer's state: three convolutions, and h."""


@dataclass(frozen=True)
class Mamba2Hyperparameters:
    """What the metadata of a `mamba2` file say; see `MambaHyperparameters`.

    Attributes:
        heads: of the inner channels.
        groups: of heads, which share B and C.
    """

    blocks: int
    width: int
    inner: int
    states: int
    taps: int
    heads: int
    groups: int
    epsilon: float
    context_length: int

    @classmethod
    def read(cls, file: GGUFFile) -> Mamba2Hyperparameters:
        """From a file's metadata.

        Raises:
            InputError: a key is missing or makes no sense.
        """
        keys = Keys(file)
        inner, heads = keys.count("ssm.inner_size"), keys.count("ssm.time_step_rank")
        groups = keys.count("ssm.group_count")
        if inner % heads or heads % groups:
            raise InputError(
                f"{inner} channels cannot be cut into {heads} heads of {groups} groups"
            )
        return cls(
            blocks=keys.count("block_count", most=10_000),
            width=keys.count("embedding_length"),
            inner=inner,
            states=keys.count("ssm.state_size", most=4096),
            taps=keys.count("ssm.conv_kernel", most=64),
            heads=heads,
            groups=groups,
            epsilon=keys.number("attention.layer_norm_rms_epsilon"),
            context_length=keys.count("context_length", most=1 << 31),
        )

    @property
    def shared(self) -> int:
        """Floats of B, and of C."""
        return self.groups * self.states


class Mamba2:
    """Mamba 2, Codestral Mamba."""

    norm, places = "rms", "in the state"

    def __init__(self, file: GGUFFile) -> None:
        self.tensors, self.hyper = Tensors(file), Mamba2Hyperparameters.read(file)
        h = self.hyper
        self.vocabulary, self.context_length = self.tensors.vocabulary, h.context_length
        before, padded = h.taps - 1, -(-(h.inner // h.heads) // 16) * 16 * h.heads
        shape = StateShape(
            (before * h.inner, before * h.shared, before * h.shared, padded * h.states)
        )
        self.layers = (shape,) * h.blocks

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
        sizes = (h.inner, h.inner, h.shared, h.shared, h.heads)
        w_in = t.matrix(name + "ssm_in.weight", sum(sizes), h.width)
        *weights, w_delta = split(w_in, *sizes)
        z, u, b, c = (plan.product(w, n, v) for w, v in zip(weights, "zuBC", strict=True))
        bias = t.vector(name + "ssm_dt.bias", h.heads)
        delta = plan.product(w_delta, n, "delta", bias=bias)
        u, b, c = self._convolved(plan, block, u, b, c)
        y = plan.selective_scan(
            u,
            plan.activation("softplus", delta),
            b,
            c,
            a=t.table(name + "ssm_a", h.heads, 1)[:, 0],
            d=t.table(name + "ssm_d", h.heads, 1)[:, 0],
            heads=h.heads,
            groups=h.groups,
            layer=block,
            part=SCAN,
        )
        y = plan.activation("silu", z, y)
        if block == h.blocks - 1:  # only the rows whose logits are wanted go further
            y, x = plan.select(y), plan.select(x)
        weight = t.table(name + "ssm_norm.weight", h.groups, h.inner // h.groups).reshape(-1)
        y = plan.rms_norm(y, weight, h.epsilon, parts=h.groups, name=y.name)
        return plan.product(t.matrix(name + "ssm_out.weight", h.width, h.inner), y, "x", add_to=x)

    def _convolved(self, plan: Plan, block: int, *values: Value) -> list[Value]:
        """The convolution of u, B and C side by side; each channel is on its own."""
        t, width, result, first = self.tensors, sum(v.width for v in values), [], 0
        name = f"blk.{block}.ssm_conv1d"
        taps = t.table(name + ".weight", width, self.hyper.taps).T
        bias = t.optional_vector(name + ".bias", width)
        for part, value in zip((U, B, C), values, strict=True):
            last = first + value.width
            own = None if bias is None else bias[first:last]
            result.append(
                plan.short_convolution(value, taps[:, first:last], own, layer=block, part=part)
            )
            first = last
        return result
