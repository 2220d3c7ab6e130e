"""The base model of an adapter: what its config.json or its GGUF file says of names and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.families import family_of
from zigllm_cli.convert.hf.family import Family
from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf import GGUFFile, open_gguf

CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "phi3": "Phi3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
}
"""Architectures whose GGUF file says all that names and rows depend on, and their class."""


def family_of_base(base: Path) -> Family:
    """The family of a folder, or of a GGUF file.

    Raises:
        UnsupportedError: none converts it, or a GGUF file does not say enough.
        UsageError: a folder without a config.json.
    """
    if base.is_dir():
        path = base / "config.json"
        if not path.is_file():
            raise UsageError(
                f"{base} has no config.json: --base takes a model's folder or GGUF file"
            )
        return family_of(Config(read_object(path), path))
    file = open_gguf(base)
    if file.architecture not in CLASSES:
        raise UnsupportedError(
            f"{base} is {file.architecture or 'of no architecture'}, of which a GGUF file is not"
            " enough: name the base's folder with --base"
        )
    return family_of(Config(_config_of(file), base))


def _config_of(file: GGUFFile) -> dict[str, Any]:
    """What a config.json would say, as far as names and rows depend on it."""
    experts = file.hyperparameter("expert_count")
    name = "MixtralForCausalLM" if experts else CLASSES[file.architecture]
    return {
        "architectures": [name],
        "num_hidden_layers": file.hyperparameter("block_count"),
        "hidden_size": file.hyperparameter("embedding_length"),
        "num_attention_heads": file.hyperparameter("attention.head_count"),
        "num_key_value_heads": file.hyperparameter("attention.head_count_kv"),
        "num_local_experts": experts,
    }
