"""Architectures: one file per family, each a plan that reads like the paper.

`architecture(file)` finds the family by `general.architecture`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zigllm_cli.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.models.architecture import Architecture

FAMILIES: dict[str, str] = {
    "arcee": "arcee.Arcee",
    "bert": "bert.Bert",
    "bloom": "bloom.Bloom",
    "cohere2": "cohere2.Cohere2",
    "command-r": "command_r.CommandR",
    "deepseek2": "deepseek2.DeepSeek2",
    "ernie4_5": "ernie4_5.Ernie45",
    "exaone4": "exaone4.Exaone4",
    "falcon": "falcon.Falcon",
    "gemma": "gemma.Gemma",
    "gemma2": "gemma2.Gemma2",
    "gemma3": "gemma3.Gemma3",
    "glm4": "glm4.GLM4",
    "gpt-oss": "gpt_oss.GptOss",
    "gpt2": "gpt2.GPT2",
    "gptj": "phi2.GPTJ",
    "gptneo": "gptneo.GPTNeo",
    "gptneox": "gptneox.GPTNeoX",
    "granite": "granite.Granite",
    "granitemoe": "granitemoe.GraniteMoe",
    "hunyuan-dense": "hunyuan.Hunyuan",
    "llama": "llama.Llama",
    "mamba": "mamba.Mamba",
    "mamba2": "mamba2.Mamba2",
    "microgpt": "microgpt.MicroGPT",
    "mpt": "mpt.MPT",
    "nemotron": "starcoder2.Nemotron",
    "nomic-bert": "bert.NomicBert",
    "olmo": "olmo.Olmo",
    "olmo2": "olmo2.Olmo2",
    "olmoe": "olmoe.Olmoe",
    "phi2": "phi2.Phi2",
    "phi3": "phi3.Phi3",
    "qwen": "qwen.Qwen",
    "qwen2": "qwen2.Qwen2",
    "qwen2moe": "qwen_moe.Qwen2Moe",
    "qwen3": "qwen3.Qwen3",
    "qwen3moe": "qwen_moe.Qwen3Moe",
    "seed_oss": "seed_oss.SeedOss",
    "smollm3": "smollm3.SmolLM3",
    "stablelm": "stablelm.StableLM",
    "starcoder": "gpt2.StarCoder",
    "starcoder2": "starcoder2.StarCoder2",
}
"""`general.architecture` to the module of its family, and the class in it.

The class's docstring names the models that people know by it: `zigllm inspect --architectures`.
"""


def architecture(file: GGUFFile) -> Architecture:
    """The model in a file, its hyper-parameters and tensors checked.

    Raises:
        InputError: metadata or tensors are missing or do not fit together.
        UnsupportedError: an architecture or a type that this program does not run.
    """
    name = file.architecture
    if not name:
        raise InputError("the file names no general.architecture: it holds no model to run")
    if name not in FAMILIES:
        raise UnsupportedError(
            f"architecture {name} cannot be run yet: zigllm inspect --architectures lists those"
            " that can"
        )
    model: Architecture = family(name)(file)
    return model


def family(name: str) -> Any:
    """The class of an architecture of `FAMILIES`."""
    module, kind = FAMILIES[name].split(".")
    return getattr(import_module(f"zigllm_cli.models.{module}"), kind)
