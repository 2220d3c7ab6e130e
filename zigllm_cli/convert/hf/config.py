"""`config.json`, read with care: a number is a number, and one thing has many names."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, unreadable

MAX_BYTES = 200 << 20
"""Of one JSON file; the largest known tokenizer.json has 35 MB."""


def read_json(path: Path) -> Any:
    """The content of a JSON file, None where there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has more than {MAX_BYTES >> 20} MB, which no such file has")
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is damaged: it is no JSON") from None
    except OSError as error:
        raise unreadable(path, error) from None


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file.

    Raises:
        InputError: it is damaged, or something else than an object.
    """
    found = read_json(path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: it is no JSON object")
    return found


class Config:
    """The numbers of a model under any of their names; null counts as absent.

    Attributes:
        values: those of the text model where there are several.
    """

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        self.path = path
        inner = values.get("text_config")
        self.values = {**values, **inner} if isinstance(inner, dict) else values

    @property
    def model_class(self) -> str:
        """The class that transformers would make, "" where the file names none."""
        names = self.values.get("architectures")
        return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""

    def assume(self, **values: Any) -> None:
        """Take these where the file says nothing, as the class of transformers does."""
        said = {name: value for name, value in self.values.items() if value is not None}
        self.values = {**values, **said}

    def get(self, *names: str) -> Any:
        """The first of these that is there."""
        return next((self.values[n] for n in names if self.values.get(n) is not None), None)

    def whole(self, *names: str) -> int | None:
        """A whole number, or None."""
        value = self.get(*names)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InputError(f"{self.path}: {names[0]} is {value!r:.60}, not a whole number")
        return value

    def number(self, *names: str) -> float | None:
        """Any number, or None."""
        value = self.get(*names)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise InputError(f"{self.path}: {names[0]} is {value!r:.60}, not a number")
        return value

    def need(self, *names: str) -> int:
        """A whole number that must be there.

        Raises:
            InputError: it is not.
        """
        value = self.whole(*names)
        if value is None:
            raise InputError(f"{self.path} lacks {' or '.join(names)}")
        return value

    # ------------------------------------------------------------------ what most families have

    @cached_property
    def layers(self) -> int:
        return self.need("num_hidden_layers", "n_layers", "n_layer", "num_layers")

    @cached_property
    def width(self) -> int:
        return self.need("hidden_size", "n_embd", "d_model", "n_embed", "dim")

    @cached_property
    def heads(self) -> int:
        heads = self.need("num_attention_heads", "n_head", "n_heads", "num_heads")
        if heads < 1:
            raise InputError(f"{self.path}: a model with {heads} attention heads is impossible")
        return heads

    @cached_property
    def kv_heads(self) -> int:
        return self.whole("num_key_value_heads", "n_kv_heads") or self.heads

    @cached_property
    def head_width(self) -> int:
        return self.whole("head_dim") or self.width // self.heads

    @cached_property
    def experts(self) -> int:
        return self.whole("num_local_experts", "num_experts", "n_routed_experts") or 0

    @cached_property
    def rope(self) -> dict[str, Any]:
        """What the file says of rotation, under the newest names: rope_type, rope_theta, factor,
        partial_rotary_factor, original_max_position_embeddings ..."""
        found = self.get("rope_parameters", "rope_scaling") or {}
        if not isinstance(found, dict):
            raise InputError(f"{self.path}: rope_scaling is {found!r:.60}, not an object")
        rope = dict(found)
        if isinstance(rope.get("full_attention"), dict):
            rope = {**rope["full_attention"], "local": rope.get("sliding_attention") or {}}
        older = {
            "rope_type": rope.get("type"),
            "rope_theta": self.number("rope_theta", "rotary_emb_base", "global_rope_theta"),
            "partial_rotary_factor": self.number(
                "partial_rotary_factor", "rotary_pct", "rope_pct", "rotary_emb_fraction"
            ),
            "original_max_position_embeddings": self.whole("original_max_position_embeddings"),
        }
        for name, value in older.items():
            if value is not None and rope.get(name) is None:
                rope[name] = value
        local = self.number("rope_local_base_freq", "local_rope_theta")
        if local is not None and "local" not in rope:
            rope["local"] = {"rope_theta": local}
        return rope

    def rope_number(self, name: str) -> float | None:
        """A number of `rope`, or None."""
        value = self.rope.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise InputError(f"{self.path}: {name} is {value!r:.60}, not a number")
        return value

    @property
    def rope_type(self) -> str:
        """default, linear, yarn, llama3, longrope (also called su), dynamic ..."""
        name = str(self.rope.get("rope_type") or "default").lower()
        return "longrope" if name == "su" else name
