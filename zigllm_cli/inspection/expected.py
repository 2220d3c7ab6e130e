"""Which keys and tensors each architecture needs, as a table that can be read.

A word of the table is a tensor, `attn_q` meaning `attn_q.weight`; after it may follow

    ?      the whole tensor is optional (but then in every block or in none)
    :wb    weight and bias        :wb?   weight, the bias optional
    :b     bias only              :-     the bare name, without a suffix
    #      one tensor for each expert: `ffn_up.#` is `ffn_up.0.weight`, `ffn_up.1.weight`, ...

`( a b | c )` is a choice: a and b, or c. Capitals are the groups defined first. Keys are those
behind `{architecture}.`; a leading dot marks a whole key. Facts: `load_arch_hparams` and
`load_arch_tensors` of llama.cpp's models; where it takes a bias as optional that every converter
of the architecture has always written, the bias is required here. gptj and gptneo, which
llama.cpp does not run, follow gguf-py's names and the GGUF files of this project's tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

QKV = "( attn_qkv:wb? | attn_q:wb? attn_k:wb? attn_v:wb? )"
QKV_BIASED = "( attn_qkv:wb | attn_q:wb attn_k:wb attn_v:wb )"
GATED = "ffn_gate:wb? ffn_up:wb? ffn_down:wb?"
EXPERTS = "ffn_gate_inp:wb? ( ffn_gate_up_exps | ffn_gate_exps ffn_up_exps ) ffn_down_exps"
OLD_EXPERTS = "ffn_gate_inp ffn_gate.# ffn_up.# ffn_down.#"
SHARED = "ffn_gate_shexp ffn_up_shexp ffn_down_shexp"
SHARED_MAYBE = "ffn_gate_shexp? ffn_up_shexp? ffn_down_shexp?"
ROPE_FACTORS = "rope_freqs? rope_factors_long? rope_factors_short?"

RMS = "attention.layer_norm_rms_epsilon"
NORM = "attention.layer_norm_epsilon"
HEADS = "attention.head_count"
FFN = "feed_forward_length"
MOE = "expert_count expert_used_count"
SSM = "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank"

COMMON_KEYS = "context_length embedding_length block_count"
"""Every architecture has these."""


@dataclass(frozen=True)
class Needs:
    """One architecture.

    Attributes:
        keys: besides `COMMON_KEYS`.
        whole: tensors of the model as a whole.
        block: tensors of every block, behind `blk.N.`.
        dense: in blocks without experts; experts: in blocks with them.
    """

    keys: str
    whole: str
    block: str
    dense: str = ""
    experts: str = ""


EXPECTED: dict[str, Needs] = {
    "llama": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole=f"token_embd output_norm output? {ROPE_FACTORS}",
        block=f"attn_norm {QKV} attn_output:wb? ffn_norm",
        dense=GATED,
        experts=f"( {EXPERTS} | {OLD_EXPERTS} ) {SHARED_MAYBE}",
    ),
    "gpt2": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd position_embd output_norm:wb output?",
        block="attn_norm:wb attn_qkv:wb attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "falcon": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output_norm:wb output?",
        block="attn_norm:wb attn_norm_2?:wb attn_qkv attn_output ffn_up ffn_down",
    ),
    "qwen": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output",
        block=f"attn_norm attn_qkv:wb attn_output ffn_norm {GATED}",
    ),
    "qwen2": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?:wb?",
        block=f"attn_norm {QKV_BIASED} attn_output ffn_norm {GATED}",
    ),
    "qwen2moe": Needs(
        keys=f"{RMS} {HEADS} {MOE}",
        whole="token_embd output_norm output",
        block=f"attn_norm {QKV_BIASED} attn_output ffn_norm",
        experts=f"{EXPERTS} ffn_gate_inp_shexp {SHARED}",
    ),
    "qwen3": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output? cls.output?",
        block=f"attn_norm {QKV} attn_output attn_q_norm attn_k_norm ffn_norm {GATED}",
    ),
    "qwen3moe": Needs(
        keys=f"{RMS} {HEADS} {MOE}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output attn_q_norm attn_k_norm ffn_norm",
        experts=EXPERTS,
    ),
    "phi2": Needs(
        keys=f"{NORM} {HEADS} {FFN} rope.dimension_count",
        whole="token_embd output_norm:wb output:wb",
        block=f"attn_norm:wb {QKV_BIASED} attn_output:wb ffn_up:wb ffn_down:wb",
    ),
    "phi3": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole=f"token_embd output_norm output? {ROPE_FACTORS}",
        block=f"attn_norm {QKV} attn_output ffn_norm ffn_up ffn_down",
    ),
    "gptj": Needs(
        keys=f"{NORM} {HEADS} {FFN} rope.dimension_count",
        whole="token_embd output_norm:wb output:wb",
        block="attn_norm:wb attn_q attn_k attn_v attn_output ffn_up:wb ffn_down:wb",
    ),
    "gptneox": Needs(
        keys=f"{NORM} {HEADS} {FFN} rope.dimension_count use_parallel_residual",
        whole="token_embd output_norm:wb output",
        block="attn_norm:wb attn_qkv:wb attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "gptneo": Needs(
        keys=f"{NORM} {HEADS} {FFN} attention.sliding_window attention.sliding_window_pattern",
        whole="token_embd position_embd output_norm:wb output?",
        block="attn_norm:wb attn_q attn_k attn_v attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "bloom": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd token_embd_norm:wb output_norm:wb output?",
        block="attn_norm:wb attn_qkv:wb attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "mamba": Needs(
        keys=f"{RMS} {SSM}",
        whole="token_embd output_norm output?",
        block="attn_norm ssm_in ssm_conv1d:wb ssm_x ssm_dt:wb ssm_a:- ssm_d:- ssm_out "
        "ssm_dt_norm? ssm_b_norm? ssm_c_norm?",
    ),
    "mamba2": Needs(
        keys=f"{RMS} {SSM} ssm.group_count",
        whole="token_embd output_norm output?",
        block="attn_norm ssm_in ssm_conv1d:wb ssm_dt:b ssm_a:- ssm_d:- ssm_norm ssm_out",
    ),
    "bert": Needs(
        keys=f"{NORM} {HEADS} {FFN} .tokenizer.ggml.token_type_count",
        whole="token_embd position_embd token_types? token_embd_norm:wb cls?:wb? cls.output?:wb?",
        block=f"{QKV_BIASED} attn_output:wb attn_output_norm:wb ffn_up:wb ffn_down:wb "
        "layer_output_norm:wb",
    ),
    "nomic-bert": Needs(
        keys=f"{NORM} {HEADS} {FFN} .tokenizer.ggml.token_type_count",
        whole="token_embd token_types? token_embd_norm:wb",
        block=f"{QKV} attn_output:wb? attn_output_norm:wb {GATED} layer_output_norm:wb",
    ),
    "gemma": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output ffn_norm {GATED}",
    ),
    "gemma2": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output post_attention_norm ffn_norm {GATED} post_ffw_norm",
    ),
    "gemma3": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output? dense_2? dense_3?",
        block=f"attn_norm {QKV} attn_q_norm attn_k_norm attn_output post_attention_norm "
        f"ffn_norm {GATED} post_ffw_norm",
    ),
    "starcoder": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd position_embd output_norm:wb output?",
        block="attn_norm:wb attn_qkv:wb attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "starcoder2": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output_norm:wb output?",
        block=f"attn_norm:wb {QKV_BIASED} attn_output:wb ffn_norm:wb ffn_up:wb ffn_down:wb",
    ),
    "stablelm": Needs(
        keys=f"{NORM} {HEADS} {FFN} rope.dimension_count",
        whole="token_embd output_norm:wb output",
        block=f"attn_norm:wb {QKV} attn_q_norm? attn_k_norm? attn_output ffn_norm?:wb {GATED}",
    ),
    "mpt": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd position_embd? output_norm:wb? output?",
        block="attn_norm:wb? attn_qkv:wb? attn_q_norm?:wb? attn_k_norm?:wb? attn_output:wb? "
        "ffn_norm:wb? ffn_up:wb? ffn_act.scales?:- ffn.act.scales?:- ffn_down:wb?",
    ),
    "command-r": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm attn_q_norm? attn_k_norm? {QKV} attn_output {GATED}",
    ),
    "olmo2": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output",
        block=f"{QKV} attn_q_norm attn_k_norm attn_output post_attention_norm "
        f"{GATED} post_ffw_norm",
    ),
    "olmoe": Needs(
        keys=f"{RMS} {HEADS} {FFN} {MOE}",
        whole="token_embd output_norm output",
        block=f"attn_norm {QKV} attn_q_norm attn_k_norm attn_output ffn_norm",
        experts=EXPERTS,
    ),
    "deepseek2": Needs(
        keys=f"{RMS} {HEADS} {MOE} attention.kv_lora_rank rope.dimension_count "
        "expert_feed_forward_length expert_shared_count",
        whole=f"token_embd output_norm output? {ROPE_FACTORS}",
        block="attn_norm ( attn_q_a attn_q_a_norm attn_q_b | attn_q ) attn_kv_a_mqa "
        "attn_kv_a_norm ( attn_k_b attn_v_b | attn_kv_b ) attn_output ffn_norm",
        dense=GATED,
        experts=f"{EXPERTS} exp_probs_b?:b {SHARED}",
    ),
    "granite": Needs(
        keys=f"{RMS} {HEADS} {FFN} logit_scale",
        whole=f"token_embd output_norm output? {ROPE_FACTORS}",
        block=f"attn_norm {QKV} attn_output:wb? ffn_norm",
        dense=GATED,
        experts=f"{EXPERTS} {SHARED_MAYBE}",
    ),
    "smollm3": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output ffn_norm {GATED}",
    ),
    "gpt-oss": Needs(
        keys=f"{RMS} {HEADS} {MOE} expert_feed_forward_length attention.sliding_window",
        whole="token_embd output_norm output",
        block=f"attn_norm {QKV_BIASED} attn_sinks attn_output:wb post_attention_norm",
        experts="ffn_gate_inp:wb ffn_gate_exps:wb ffn_up_exps:wb ffn_down_exps:wb",
    ),
}

SHAPES: dict[str, str] = {
    "token_embd.weight": "embd vocab",
    "output.weight": "embd vocab",
    "output.bias": "vocab",
    "position_embd.weight": "embd context",
    "token_embd_norm.weight": "embd",
    "output_norm.weight": "embd",
    "attn_norm.weight": "embd",
    "attn_norm_2.weight": "embd",
    "attn_output_norm.weight": "embd",
    "post_attention_norm.weight": "embd",
    "ffn_norm.weight": "embd",
    "post_ffw_norm.weight": "embd",
    "layer_output_norm.weight": "embd",
    "attn_q.weight": "embd q",
    "attn_k.weight": "embd k",
    "attn_v.weight": "embd v",
    "attn_qkv.weight": "embd qkv",
    "attn_output.weight": "heads embd",
    "attn_q.bias": "q",
    "attn_k.bias": "k",
    "attn_v.bias": "v",
    "attn_qkv.bias": "qkv",
    "attn_output.bias": "embd",
    "ffn_gate.weight": "embd ff",
    "ffn_up.weight": "embd up",
    "ffn_down.weight": "ff embd",
    "ffn_up.bias": "up",
    "ffn_down.bias": "embd",
    "ffn_gate_inp.weight": "embd expert",
    "ffn_gate_exps.weight": "embd * expert",
    "ffn_up_exps.weight": "embd * expert",
    "ffn_down_exps.weight": "* embd expert",
}
"""Sizes by name, contiguous one first; `*` and sizes that the file does not state are not compared.

embd width · vocab tokens · q, k, v rows of the projections · heads: width of the heads' output ·
ff feed-forward width · up the same, or twice (phi3: gate and up in one)
"""

UNUSUAL_ATTENTION = frozenset(("deepseek2",))
"""Architectures whose attention tensors do not have the shapes above."""

WORD = re.compile(r"([a-z0-9_.#]+)(\?)?(?::(wb\??|b|-))?")


@dataclass(frozen=True)
class Item:
    """One tensor name of the table.

    Attributes:
        needs: another name without which this one is not asked for, or "".
    """

    name: str
    is_required: bool
    needs: str = ""


@dataclass(frozen=True)
class Choice:
    """Alternatives, each a list of items and further choices."""

    options: tuple[tuple[Item | Choice, ...], ...]


Rule = Item | Choice


def rules(text: str) -> tuple[Rule, ...]:
    """The rules that a cell of the table means."""
    words = text.split()
    found, position = _sequence(words, 0)
    if position != len(words):
        raise ValueError(f"unbalanced parentheses in {text!r}")
    return found


def _sequence(words: list[str], position: int) -> tuple[tuple[Rule, ...], int]:
    found: list[Rule] = []
    while position < len(words) and words[position] not in ("|", ")"):
        if words[position] == "(":
            options = []
            while words[position] != ")":
                option, position = _sequence(words, position + 1)
                options.append(option)
            found.append(Choice(tuple(options)))
        else:
            found += _items(words[position])
        position += 1
    return tuple(found), position


def _items(word: str) -> list[Rule]:
    match = WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is not a word of the table")
    name, optional, suffix = match.groups()
    if suffix == "-":
        return [Item(name, not optional)]
    if suffix == "b":
        return [Item(f"{name}.bias", not optional)]
    weight = f"{name}.weight"
    items: list[Rule] = [Item(weight, not optional)]
    if suffix is not None:
        items.append(Item(f"{name}.bias", suffix == "wb", weight if optional else ""))
    return items
