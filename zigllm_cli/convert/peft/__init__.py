"""PEFT's LoRA folders to GGUF adapters: adapter_config.json, adapter_model.safetensors or .bin.

    pairs     the halves of every change, as they are stored
    base      what is known of the model that is changed
    tensors   both halves as GGUF has them

Source: PEFT's `lora/layer.py` and `save_and_load.py`. `models.adapters` tells what is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf, sqrt
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Conversion, Keys, Options
from zigllm_cli.convert.hf.config import read_object
from zigllm_cli.convert.peft.base import family_of_base
from zigllm_cli.convert.peft.pairs import Pair, read_pairs
from zigllm_cli.convert.peft.tensors import adapter_tensors
from zigllm_cli.errors import InputError, UnsupportedError, UsageError
from zigllm_cli.gguf import ValueType

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

REFUSED = {
    "use_dora": "it is DoRA, which also scales columns",
    "use_qalora": "it is QALoRA, whose A is for groups of columns",
    "layer_replication": "it repeats layers of its base",
    "alora_invocation_tokens": "it is an activated LoRA, which works from a phrase on only",
    "trainable_token_indices": "it has new rows of the embedding table",
    "target_parameters": "it changes parameters that are no matrices of layers",
}
"""Settings that make an adapter more than B A, where they are set."""


def recognises(path: Path) -> bool:
    """A folder with an adapter_config.json, and no whole model."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in WEIGHTS)


def read(path: Path, options: Options) -> Conversion:
    """The adapter of a folder.

    Raises:
        InputError: a file is damaged, or one half of a pair is missing.
        UnsupportedError: an adapter that is more than low-rank changes.
        UsageError: the base model is not known.
    """
    if not recognises(path):
        raise InputError(f"{path} has no {CONFIG} with weights: it is no PEFT folder")
    config = read_object(path / CONFIG)
    alpha = _alpha(config, path)
    weights = next(path / name for name in WEIGHTS if (path / name).is_file())
    pairs = read_pairs(weights)
    base = options.base or _said_base(config)
    if base is None:
        raise UsageError(
            f"{path} says nothing of a base model that is here: name it with --base, its folder or"
            " its GGUF file"
        )
    family = family_of_base(base)
    scaled = [pair.times(_factor(pair, config, alpha)) for pair in pairs]
    keys = Keys()
    keys.text("adapter.type", "lora")
    keys.f32("adapter.lora.alpha", alpha)
    return Conversion.make(
        "a PEFT adapter",
        family.architecture,
        keys,
        list(adapter_tensors(scaled, family)),
        name=options.name or path.resolve().name,
        general={"general.type": (ValueType.STRING, "adapter")},
        paths=[weights],
    )


# ------------------------------------------------------------------ settings


def _alpha(config: Mapping[str, Any], path: Path) -> float:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(f"{path} is an adapter of type {kind!r:.50}; only LORA is converted")
    for setting, reason in REFUSED.items():
        if config.get(setting):
            raise UnsupportedError(f"{path} cannot be a GGUF adapter: {reason}; merge it with PEFT")
    if config.get("bias", "none") != "none":
        raise UnsupportedError(f"{path} also changes biases: merge it into its base with PEFT")
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < inf:
        raise InputError(f"{path / CONFIG}: lora_alpha is {alpha!r:.50}, not a number above 0")
    return float(alpha)


def _factor(pair: Pair, config: Mapping[str, Any], alpha: float) -> float:
    """What B is multiplied with so that alpha / rank, which readers apply, is what PEFT applies."""
    patterns = config.get("alpha_pattern") or {}
    mine = next((patterns[key] for key in patterns if _fits(pair.module, key)), alpha)
    root = sqrt(pair.rank) if config.get("use_rslora") else 1.0
    return float(mine) / alpha * root


def _fits(module: str, pattern: str) -> bool:
    """Whether a key of `alpha_pattern` means a module: its name, or the end of it.

    Raises:
        UnsupportedError: it is more than a name.
    """
    if not re.fullmatch(r"\^?[\w.]+\$?", pattern):
        raise UnsupportedError(f"the pattern {pattern!r:.80} of alpha_pattern is no plain name")
    name = pattern.strip("^$")
    return module == name or (not pattern.startswith("^") and module.endswith(f".{name}"))


def _said_base(config: Mapping[str, Any]) -> Path | None:
    """The base that the adapter names, if it is a folder here."""
    name = config.get("base_model_name_or_path")
    path = Path(name) if isinstance(name, str) and name else None
    return path if path and (path / "config.json").is_file() else None
