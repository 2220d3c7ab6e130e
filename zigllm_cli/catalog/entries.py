"""models.toml: names for models, each with its file and how it likes to be run.

It is looked for in `--models FILE`, `$ZIGLLM_MODELS`, the user's configuration folder and the
working folder; the first that holds a name wins. `models.example.toml` shows every key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zigllm_cli.catalog.folders import config_folder
from zigllm_cli.errors import InputError, UsageError, unreadable

Kind = type | tuple[type, ...]

NUMBER = (float, int)

KEYS: dict[str, Kind] = {
    "path": str,
    "description": str,
    "ctx": int,
    "threads": int,
    "kv_type": str,
    "template": str,
    "system": str,
    "sampling": dict,
}
"""Keys of a `[models.NAME]` table, and the type of each one's value."""

SAMPLING_KEYS: dict[str, Kind] = {
    "preset": str,
    "temperature": NUMBER,
    "top_k": int,
    "top_p": NUMBER,
    "min_p": NUMBER,
    "repeat_penalty": NUMBER,
    "repeat_last_n": int,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "dry_multiplier": NUMBER,
    "dry_base": NUMBER,
    "dry_allowed_length": int,
    "dry_penalty_last_n": int,
    "dry_sequence_breakers": list,
    "top_n_sigma": NUMBER,
    "tail_free": NUMBER,
    "typical": NUMBER,
    "xtc_probability": NUMBER,
    "xtc_threshold": NUMBER,
    "dynatemp_range": NUMBER,
    "dynatemp_exp": NUMBER,
    "mirostat": int,
    "mirostat_ent": NUMBER,
    "mirostat_lr": NUMBER,
    "adaptive_target": NUMBER,
    "adaptive_decay": NUMBER,
    "samplers": str,
    "logit_bias": list,
    "ignore_eos": bool,
    "min_tokens": int,
    "seed": int,
}
"""Keys of its `[models.NAME.sampling]`."""

WORDS: dict[Kind, str] = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    NUMBER: "a number",
    dict: "a table",
}

_named: list[Path] = []
"""What `--models` named, for this process; no more than one."""


@dataclass(frozen=True)
class ModelEntry:
    """One `[models.NAME]` table.

    Attributes:
        path: the GGUF file; relative to the folder of models.toml, `~` is the home folder.
        description: a line for listings.
        settings: all other keys but `sampling`.
        sampling: the keys of that table.
        origin: the file it stands in, and its key there.
    """

    path: Path
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""


def use_models_file(path: Path | None) -> None:
    """Look into this file before all others; None: there is no such wish.

    Raises:
        InputError: there is no such file.
    """
    if path is not None and not path.is_file():
        raise InputError(f"--models {path} is not a file; name a models.toml that exists")
    _named[:] = [] if path is None else [path]


def load_entries() -> dict[str, ModelEntry]:
    """All aliases of all models.toml files, those of the first file winning."""
    found: dict[str, ModelEntry] = {}
    for place in search_places():
        if place.is_file():
            for name, entry in read_models_toml(place).items():
                found.setdefault(name, entry)
    return found


def search_places() -> list[Path]:
    """Where models.toml is looked for, in order.

    Raises:
        InputError: ZIGLLM_MODELS names a file that is not there.
    """
    places = [*_named]
    if named := os.environ.get("ZIGLLM_MODELS"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise InputError(
                f"ZIGLLM_MODELS names {named}, which is not a file; unset or correct it"
            )
        places.append(path)
    return [*places, config_folder() / "models.toml", Path("models.toml")]


def read_models_toml(path: Path) -> dict[str, ModelEntry]:
    """The aliases of one models.toml.

    Raises:
        InputError: it can't be read.
        UsageError: not TOML, an unknown key or a wrong type; the message names file and key.
    """
    import tomllib

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    unknown = set(document) - {"models"}
    if unknown:
        raise UsageError(f"{path}: unknown table {sorted(unknown)[0]!r}; only [models.NAME] exists")
    models = document.get("models", {})
    if not isinstance(models, dict):
        raise UsageError(f"{path}: 'models' must be a table of [models.NAME] tables")
    return {name: _entry(path, name, table) for name, table in models.items()}


def _entry(path: Path, name: str, table: Any) -> ModelEntry:
    where = f"{path}: models.{name}"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is {table!r}; write it as a table [models.{name}] with a path")
    _check(where, table, KEYS)
    if "path" not in table:
        raise UsageError(f"{where} has no path")
    sampling = table.get("sampling", {})
    _check(f"{where}.sampling", sampling, SAMPLING_KEYS)
    own = ("path", "description", "sampling")
    return ModelEntry(
        path=path.parent / Path(table["path"]).expanduser(),
        description=table.get("description", ""),
        settings={key: value for key, value in table.items() if key not in own},
        sampling=sampling,
        origin=where,
    )


def _check(where: str, table: Mapping[str, Any], known: Mapping[str, Kind]) -> None:
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{where}.{key} is unknown; known keys are {', '.join(known)}")
        kind = known[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UsageError(f"{where}.{key} is {value!r}, but must be {WORDS[kind]}")
