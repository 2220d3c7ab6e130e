"""Where settings come from, besides options: presets, tables, and the model's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from zigllm_cli.errors import InputError, UsageError
from zigllm_cli.sampling.settings import Sampling

PRESETS: dict[str, dict[str, Any]] = {
    "creative": {
        "temperature": 1.2,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.05,
        "dry_multiplier": 0.8,
    },
    "balanced": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    "focused": {"temperature": 0.4, "top_k": 20, "top_p": 0.9, "min_p": 0.1},
    "deterministic": {"temperature": 0.0},
}
"""Named settings: options beside them win."""

FILE_KEYS = {
    "sequence": "samplers",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "temp": "temperature",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_ent",
    "mirostat_eta": "mirostat_lr",
}
"""Keys of a GGUF file behind `general.sampling.`, and the setting that each is."""

KEY_PREFIX = "general.sampling."


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"preset {name!r} is unknown; known are {', '.join(PRESETS)}")
    return PRESETS[name]


def recommended(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a model's file asks for (`general.sampling.*`).

    Raises:
        InputError: a value has the wrong type; the message names the key.
    """
    found = {}
    for key, name in FILE_KEYS.items():
        value = metadata.get(KEY_PREFIX + key)
        if value is not None:
            try:
                found[name] = _fitting(name, value)
            except UsageError as error:
                raise InputError(f"{KEY_PREFIX}{key} of the file: {error}") from None
    return found


def settle(
    options: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
    preset_name: str | None = None,
) -> Sampling:
    """The settings to use: options win over a preset, that over a table, that over the file.

    Args:
        options: settings by name; None where nothing was said.
        metadata: of the model's file.
        table: settings by name, as a configuration file has them.
        preset_name: one of `PRESETS`.

    Raises:
        UsageError: unknown, of the wrong type or outside its range.
        InputError: the same, of the model's file.
    """
    settings = Sampling()
    for key, value in recommended(metadata or {}).items():
        try:
            settings = replace(settings, **{key: value})
        except UsageError as error:
            raise InputError(f"{KEY_PREFIX}* of the file: {error}") from None
    chosen = preset(preset_name) if preset_name is not None else {}
    for layer in (table or {}, chosen, options):
        said = {key: _fitting(key, value) for key, value in layer.items() if value is not None}
        settings = replace(settings, **said)
    return settings


def _fitting(name: str, value: Any) -> Any:
    """A value as the setting wants it.

    Raises:
        UsageError: there is no such setting, or the type is wrong.
    """
    defaults = {field.name: field for field in fields(Sampling)}
    if name not in defaults:
        raise UsageError(f"setting {name!r} is unknown; known are {', '.join(defaults)}")
    if name in ("samplers", "dry_sequence_breakers"):
        return _texts(name, value)
    if name == "logit_bias":
        return dict(value)
    wanted = type(defaults[name].default) if name != "seed" else int
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise UsageError(f"{name} is {value!r}, but must be {_WORDS[wanted]}")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """Several texts; samplers may stand in one, with semicolons between them."""
    if isinstance(value, str):
        return tuple(value.split(";")) if name == "samplers" else (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise UsageError(f"{name} is {value!r}, but must be a text or a list of texts")
    return tuple(value)


_WORDS = {float: "a number", int: "a whole number", bool: "true or false"}
