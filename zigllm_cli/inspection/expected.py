"""Which keys and tensors each architecture needs, as a table that can be read.

The words are those of `needs`; in short: `attn_q` is `attn_q.weight`, `:wb` adds the bias, `?`
makes optional, `( a | b )` is a choice, capitals are the groups defined first.

Facts: `load_arch_hparams` and `load_arch_tensors` of llama.cpp's models; where it takes a bias as
optional that every converter of the architecture has always written, the bias is required here.
gptj and gptneo, which llama.cpp does not run, follow gguf-py's names and the conformance kit.
"""

from __future__ import annotations

from zigllm_cli.inspection.needs import Needs

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
    "arcee": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole=f"token_embd output_norm output? {ROPE_FACTORS}",
        block=f"attn_norm {QKV} attn_output:wb? ffn_norm ffn_up ffn_down",
    ),
    "seed_oss": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output post_attention_norm {GATED}",
    ),
    "ernie4_5": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output:wb? ffn_norm {GATED}",
    ),
    "hunyuan-dense": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output attn_q_norm attn_k_norm ffn_norm {GATED}",
    ),
    "glm4": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output post_attention_norm "
        "ffn_norm ffn_up ffn_down post_ffw_norm",
    ),
    "exaone4": Needs(
        keys=f"{RMS} {HEADS} {FFN}",
        whole="token_embd output_norm output? rope_freqs?",
        block=f"{QKV} attn_output attn_q_norm attn_k_norm "
        f"post_attention_norm post_ffw_norm {GATED}",
    ),
    "cohere2": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output {GATED}",
    ),
    "nemotron": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output_norm:wb output?",
        block=f"attn_norm:wb {QKV} attn_output:wb? ffn_norm:wb ffn_up:wb? ffn_down:wb?",
    ),
    "olmo": Needs(
        keys=f"{NORM} {HEADS} {FFN}",
        whole="token_embd output?",
        block=f"{QKV} attn_output {GATED}",
    ),
    "granitemoe": Needs(
        keys=f"{RMS} {HEADS} {MOE}",
        whole="token_embd output_norm output?",
        block=f"attn_norm {QKV} attn_output:wb? ffn_norm",
        experts=f"{EXPERTS} {SHARED_MAYBE}",
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
