"""Rotary positions: what a config says, as GGUF's keys and factors."""

from __future__ import annotations

from math import pi

import numpy as np

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import Config
from zigllm_cli.errors import InputError

HANDLED_ELSEWHERE = ("default", "llama3", "dynamic", "proportional")
"""Types that need no keys: plain, with factors, or left to their families."""


def put_rope_keys(keys: Keys, config: Config, theta: float) -> None:
    """The base, and how it is scaled for long contexts."""
    kind, number = config.rope_type, config.rope_number
    factor = number("factor")
    if kind in ("linear", "yarn") and factor is not None:
        keys.text(".rope.scaling.type", kind)
        keys.f32(".rope.scaling.factor", factor)
    elif kind == "longrope":
        keys.text(".rope.scaling.type", kind)
    elif kind not in (*HANDLED_ELSEWHERE, "linear", "yarn", "mrope"):
        raise InputError(f"{config.path}: rope_type is {kind!r:.60}, which is not known")
    if kind == "yarn" and factor is not None:
        put_yarn_keys(keys, config)
    keys.f32(".rope.freq_base", number("rope_theta") or theta)
    local = config.rope.get("local")
    keys.f32(".rope.freq_base_swa", local.get("rope_theta") if isinstance(local, dict) else None)


def put_yarn_keys(keys: Keys, config: Config) -> None:
    """YaRN (Peng et al. 2023); what a file does not say, readers know."""
    number = config.rope_number
    original = number("original_max_position_embeddings")
    if original is None:
        raise InputError(f"{config.path}: YaRN needs original_max_position_embeddings")
    keys.u32(".rope.scaling.original_context_length", int(original))
    attention = number("attention_factor")
    keys.f32(".rope.scaling.yarn_ext_factor", number("extrapolation_factor"))
    keys.f32(
        ".rope.scaling.yarn_attn_factor", number("attn_factor") if attention is None else attention
    )
    keys.f32(".rope.scaling.yarn_beta_fast", number("beta_fast"))
    keys.f32(".rope.scaling.yarn_beta_slow", number("beta_slow"))


def llama3_factors(config: Config, theta: float) -> list[float]:
    """What Llama 3.1 divides its frequencies by: slow ones by `factor`, fast ones by one, and those
    between by something between.

    Raises:
        InputError: the limits are impossible.
    """

    def number(name: str, default: float) -> float:
        value = config.rope_number(name)
        return default if value is None else value

    base, width = number("rope_theta", theta), config.head_width
    factor = number("factor", 8.0)
    low, high = number("low_freq_factor", 1.0), number("high_freq_factor", 4.0)
    original = number("original_max_position_embeddings", 8192)
    if low <= 0 or high <= low or factor <= 0 or base <= 0:
        raise InputError(f"{config.path}: rope_scaling has impossible factors")
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    frequencies = np.float32(1) / np.power(np.float32(base), exponents)
    factors: list[float] = []
    for frequency in frequencies:
        length = np.float32(2 * pi) / frequency
        if length < original / high:
            factors.append(1.0)
        elif length > original / low:
            factors.append(factor)
        else:
            smooth = (np.float32(original) / length - np.float32(low)) / np.float32(high - low)
            weight = (np.float32(1) - smooth) / np.float32(factor) + smooth
            factors.append(float(np.float32(1) / weight))
    return factors
