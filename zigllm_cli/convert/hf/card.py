"""What a folder says of the model as a whole: its card, and how to draw from it.

The card is the YAML at the head of README.md
(https://github.com/huggingface/hub-docs/blob/main/modelcard.md).
"""

from __future__ import annotations

import re
from math import isfinite
from pathlib import Path
from typing import Any

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import read_object
from zigllm_cli.gguf import ValueType

HEAD = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
MAX_CARD = 1 << 20

TEXTS = {
    "general.author": ("model_creator", "author"),
    "general.license": ("license",),
    "general.license.name": ("license_name",),
    "general.license.link": ("license_link",),
    "general.description": ("model_description", "description"),
}
LISTS = {"general.tags": ("tags", "pipeline_tag"), "general.languages": ("language", "languages")}
HUB = "https://huggingface.co"

SAMPLING = {
    "top_k": (ValueType.INT32, "top_k"),
    "top_p": (ValueType.FLOAT32, "top_p"),
    "min_p": (ValueType.FLOAT32, "min_p"),
    "temp": (ValueType.FLOAT32, "temperature"),
    "penalty_repeat": (ValueType.FLOAT32, "repetition_penalty"),
}
"""`general.sampling.*` keys and the names of `generation_config.json`."""


def general_keys(folder: Path) -> dict[str, tuple[ValueType, Any]]:
    """The `general.*` keys that files of the folder give."""
    keys = Keys()
    card = read_card(folder / "README.md")
    for key, names in TEXTS.items():
        value = next((card[name] for name in names if card.get(name)), None)
        if isinstance(value, list):
            value = ",".join(map(str, value))
        keys.text(key, str(value) if isinstance(value, str | int | float) else None)
    _put_sources(keys, "base_model", _texts(card.get("base_model")), HUB)
    _put_sources(keys, "dataset", _texts(card.get("datasets")), f"{HUB}/datasets")
    for key, names in LISTS.items():
        texts = [text for name in names for text in _texts(card.get(name))]
        keys.array(key, ValueType.STRING, texts or None)
    _put_sampling(keys, read_object(folder / "generation_config.json"))
    return keys.values


def read_card(path: Path) -> dict[str, Any]:
    """The YAML at the head of a model card; empty where there is none that can be read."""
    import yaml

    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            match = HEAD.match(file.read(MAX_CARD))
        found = yaml.safe_load(match[1]) if match else None
    except (OSError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item]


def _put_sources(keys: Keys, kind: str, names: list[str], site: str) -> None:
    """What a model was made from: `general.base_model.0.name` and so on."""
    keys.u32(f"general.{kind}.count", len(names) or None)
    for number, name in enumerate(names):
        organization, slash, rest = name.rpartition("/")
        keys.text(f"general.{kind}.{number}.name", rest)
        keys.text(f"general.{kind}.{number}.organization", organization or None)
        if slash and "://" not in name:
            keys.text(f"general.{kind}.{number}.repo_url", f"{site}/{name}")


def _put_sampling(keys: Keys, generation: dict[str, Any]) -> None:
    for key, (kind, name) in SAMPLING.items():
        value = generation.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            whole = kind is ValueType.INT32
            keys.put(f"general.sampling.{key}", kind, int(value) if whole else float(value))
