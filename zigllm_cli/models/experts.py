"""The feed-forward layer as a mixture of experts, which many families share.

    p = softmax(W_router n)                     or sigmoid; see `Routing`
    x += sum over the k largest p:  p_e W_down_e (silu(W_gate_e n) * W_up_e n)
    x += W_down (silu(W_gate n) * W_up n)       the shared expert of some, which every token takes

Shazeer et al. 2017; Fedus et al. 2021; shared experts: Dai et al. 2024 (DeepSeekMoE).
"""

from __future__ import annotations

from dataclasses import dataclass

from zigllm_cli.errors import InputError
from zigllm_cli.kernels.expert_runs import MOST_EXPERTS
from zigllm_cli.models.block import Block
from zigllm_cli.models.hyperparameters import Keys
from zigllm_cli.models.tensors import Tensors
from zigllm_cli.plan.operations import Routing, Stack, Value

SCORES = ("softmax", "sigmoid", "softmax_chosen")
"""By `expert_gating_func`, from 1 on."""


@dataclass(frozen=True)
class ExpertSettings:
    """What the metadata say about experts.

    Attributes:
        routing: how tokens choose.
        width: of the residual stream.
        ff: of each expert.
        shared_ff: of the shared one; 0 where there is none.
        activation: of gate and up.
    """

    routing: Routing
    width: int
    ff: int
    shared_ff: int = 0
    activation: str = "silu"

    @classmethod
    def read(
        cls,
        keys: Keys,
        *,
        normalise: bool,
        ff: int | None = None,
        shared_ff: int = 0,
        scores: str = "softmax",
        activation: str = "silu",
    ) -> ExpertSettings:
        """From metadata; what a family leaves unsaid is given as arguments.

        Raises:
            InputError: a key is missing or makes no sense.
        """
        experts = keys.count("expert_count", most=MOST_EXPERTS)
        used = keys.count("expert_used_count", most=experts)
        groups = keys.count("expert_group_count", 0, most=experts) or 1
        if experts % groups:
            raise InputError(f"{experts} experts cannot be cut into {groups} groups")
        groups_used = keys.count("expert_group_used_count", 0, most=groups) or groups
        kind = keys.count("expert_gating_func", 0, most=len(SCORES))
        routing = Routing(
            experts=experts,
            used=used,
            scores=SCORES[kind - 1] if kind else scores,
            normalise=keys.flag("expert_weights_norm", normalise),
            factor=keys.number("expert_weights_scale", 1.0, positive=False) or 1.0,
            groups=groups,
            groups_used=groups_used,
        )
        return cls(
            routing=routing,
            width=keys.count("embedding_length"),
            ff=ff or keys.count("expert_feed_forward_length"),
            shared_ff=shared_ff,
            activation=activation,
        )


def mixture(b: Block, n: Value, settings: ExpertSettings, *, add_to: Value | None = None) -> Value:
    """What the experts of a block make of n, as a value of its own or added to another one."""
    s, t, experts, plan = settings, b.model.tensors, settings.routing.experts, b.plan
    block = f"blk.{b.index}."
    logits = b.product(n, "ffn_gate_inp", experts, out="router")
    selection = t.optional_vector(block + "exp_probs_b.bias", experts)
    route = plan.route(logits, s.routing, selection)
    gate_stack, up_stack = _gate_and_up(t, block, s)
    gate_bias, up_bias, down_bias = (
        t.optional_table(f"{block}ffn_{part}_exps.bias", experts, rows)
        for part, rows in (("gate", s.ff), ("up", s.ff), ("down", s.width))
    )
    gate = plan.expert_product(gate_stack, n, route, "expert gate", bias=gate_bias)
    up = plan.expert_product(up_stack, n, route, "expert up", bias=up_bias)
    h = plan.activation(s.activation, gate, up)
    down = expert_stack(t, block, "down", s.width, s.ff, experts)
    y = plan.expert_product(down, h, route, "expert out", bias=down_bias)
    return plan.weighted_sum(y, route.out, add_to=add_to, route=route)


def shared_expert(b: Block, n: Value, settings: ExpertSettings, *, add_to: Value) -> Value:
    """add_to + the expert that every token takes, times a gate of its own where there is one."""
    s, plan, name = settings, b.plan, f"blk.{b.index}.ffn_gate_inp_shexp.weight"
    gate = b.product(n, "ffn_gate_shexp", s.shared_ff, out="gate")
    up = b.product(n, "ffn_up_shexp", s.shared_ff, out="up")
    h = plan.activation(s.activation, gate, up)
    if not b.model.has(name):
        return b.product(h, "ffn_down_shexp", add_to=add_to)
    row = b.model.tensors.row(name, s.width)
    gate = plan.activation("sigmoid", plan.product(row, n, "shared gate"))
    return plan.weighted_sum(b.product(h, "ffn_down_shexp", out="shared"), gate, add_to=add_to)


def _gate_and_up(tensors: Tensors, block: str, s: ExpertSettings) -> tuple[Stack, Stack]:
    """Two stacks, or the halves of a fused one."""
    experts, fused = s.routing.experts, block + "ffn_gate_up_exps.weight"
    if not tensors.has(fused):
        gate, up = (
            expert_stack(tensors, block, part, s.ff, s.width, experts) for part in ("gate", "up")
        )
        return gate, up
    both = tensors.stack(fused, 2 * s.ff, s.width, experts)
    return both.slice(0, s.ff), both.slice(s.ff, s.ff)


def expert_stack(
    tensors: Tensors, block: str, part: str, rows: int, columns: int, experts: int
) -> Stack:
    """The experts' matrices: one tensor, or (the first Mixtral files) one for each."""
    name = f"{block}ffn_{part}_exps.weight"
    first = f"{block}ffn_{part}.0.weight"
    if tensors.has(name) or not tensors.has(first):
        return tensors.stack(name, rows, columns, experts)
    each = [
        tensors.matrix(f"{block}ffn_{part}.{expert}.weight", rows, columns)
        for expert in range(experts)
    ]
    if len({matrix.type for matrix in each}) > 1:
        raise InputError(f"the experts of {block}ffn_{part} are of different types")
    matrices = tuple(matrix.data for matrix in each)
    return Stack(name, each[0].type, rows, columns, matrices)
