"""Architectures that have a way back: transformers' class, its names, its config.

Names are those of the families of `convert.hf`, read from right to left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zigllm_cli.convert.conversion import Conversion
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.convert.hf.families.gemma import Gemma
from zigllm_cli.convert.hf.families.gpt2 import GPT2
from zigllm_cli.convert.hf.families.llama import Llama, Mixtral
from zigllm_cli.convert.hf.families.qwen import Qwen2, Qwen3
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.convert.hf.rope import llama3_factors
from zigllm_cli.errors import UnsupportedError


@dataclass(frozen=True)
class Target:
    """One class of transformers.

    Attributes:
        prefix: of all names but the output's.
        layers: what transformers calls the list of layers.
        config: the numbers, from the file's.
    """

    family: type[Family]
    model_class: str
    model_type: str
    prefix: str
    layers: str
    config: Callable[[Conversion], dict[str, Any]]


def target_of(model: Conversion) -> Target:
    """The class for a file.

    Raises:
        UnsupportedError: its architecture has no way back.
    """
    name = model.architecture
    if name == "llama" and model.hyperparameter("expert_count"):
        name = "mixtral"
    if name not in TARGETS:
        raise UnsupportedError(
            f"{model.architecture} models are not converted to Hugging Face folders; those that "
            f"are: {', '.join(TARGETS)}"
        )
    return TARGETS[name]


def shortest(value: float | None) -> float | None:
    """A float32 as people write it: 1e-05 instead of 9.999999747378752e-06."""
    return None if value is None else float(str(np.float32(value)))


def _common(model: Conversion) -> dict[str, Any]:
    """What all classes but GPT-2's call by these names."""
    number = model.hyperparameter
    heads = number("attention.head_count")
    config = {
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": number("attention.key_length"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": shortest(number("attention.layer_norm_rms_epsilon")),
        "rope_theta": shortest(number("rope.freq_base", 10000.0)),
        "rope_scaling": _rope_scaling(model),
    }
    return {key: value for key, value in config.items() if value is not None}


def _rope_scaling(model: Conversion) -> dict[str, Any] | None:
    number = model.hyperparameter
    if "rope_freqs.weight" in model.tensors:
        return _llama3_scaling(model)
    kind, factor = number("rope.scaling.type"), number("rope.scaling.factor")
    if kind not in ("linear", "yarn") or factor is None:
        if kind == "longrope":
            raise UnsupportedError("LongRoPE models are not converted to Hugging Face folders")
        return None
    scaling = {"rope_type": kind, "factor": shortest(factor)}
    original = number("rope.scaling.original_context_length")
    return scaling | ({"original_max_position_embeddings": original} if original else {})


def _llama3_scaling(model: Conversion) -> dict[str, Any]:
    """The parameters that give the factors of the file; the file holds only these.

    Raises:
        UnsupportedError: none of those that models have do.
    """
    tensor = model.tensors["rope_freqs.weight"]
    factors = tensor.numpy().view(np.float32).reshape(-1)
    known = {
        "head_dim": 2 * len(factors),
        "rope_theta": shortest(model.hyperparameter("rope.freq_base", 10000.0)),
    }
    for exponent in range(5, 18):
        scaling = {
            "rope_type": "llama3",
            "factor": float(factors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1 << exponent,
        }
        config = Config(known | {"rope_scaling": scaling}, model.paths[0])
        if np.array_equal(np.array(llama3_factors(config, 10000.0), np.float32), factors):
            return scaling
    raise UnsupportedError("rope_freqs holds factors that Llama 3's parameters do not give")


def _llama(model: Conversion) -> dict[str, Any]:
    return _common(model) | {
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in model.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in model.tensors,
    }


def _mixtral(model: Conversion) -> dict[str, Any]:
    return _common(model) | {
        "hidden_act": "silu",
        "num_local_experts": model.hyperparameter("expert_count"),
        "num_experts_per_tok": model.hyperparameter("expert_used_count"),
    }


def _qwen(model: Conversion) -> dict[str, Any]:
    return _common(model) | {"hidden_act": "silu", "use_sliding_window": False}


def _gemma(model: Conversion) -> dict[str, Any]:
    return _common(model) | {"hidden_activation": "gelu_pytorch_tanh"}


def _gpt2(model: Conversion) -> dict[str, Any]:
    number = model.hyperparameter
    context = number("context_length")
    return {
        "n_embd": number("embedding_length"),
        "n_inner": number("feed_forward_length"),
        "n_layer": number("block_count"),
        "n_head": number("attention.head_count"),
        "n_ctx": context,
        "n_positions": context,
        "layer_norm_epsilon": shortest(number("attention.layer_norm_epsilon")),
        "activation_function": "gelu_new",
    }


TARGETS: Mapping[str, Target] = {
    "llama": Target(Llama, "LlamaForCausalLM", "llama", "model.", "layers", _llama),
    "mixtral": Target(Mixtral, "MixtralForCausalLM", "mixtral", "model.", "layers", _mixtral),
    "qwen2": Target(Qwen2, "Qwen2ForCausalLM", "qwen2", "model.", "layers", _qwen),
    "qwen3": Target(Qwen3, "Qwen3ForCausalLM", "qwen3", "model.", "layers", _qwen),
    "gemma": Target(Gemma, "GemmaForCausalLM", "gemma", "model.", "layers", _gemma),
    "gpt2": Target(GPT2, "GPT2LMHeadModel", "gpt2", "transformer.", "h", _gpt2),
}
"""By `general.architecture`, but for Mixtral, which is `llama` with experts."""
