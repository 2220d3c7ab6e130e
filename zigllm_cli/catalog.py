"""What a model argument may be: a path, an alias of models.toml, or `builtin`.

models.toml is looked for in `$ZIGLLM_MODELS`, then in the user's configuration folder, then in
the working folder; the first that holds the alias wins. `models.example.toml` shows every key.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UsageError

BUILTIN = "builtin"


@dataclass(frozen=True)
class ModelEntry:
    """One `[models.NAME]` table.

    Attributes:
        path: the GGUF file; relative to the folder of models.toml, `~` is the home folder.
        description: a line for listings.
    """

    path: Path
    description: str = ""


def resolve(name: str | os.PathLike[str]) -> Path:
    """The file that a model argument means.

    Raises:
        InputError: neither a file nor a known alias; the message names near matches.
        UsageError: models.toml is malformed.
    """
    text = os.fspath(name)
    if text == BUILTIN:
        return Path(__file__).with_name("builtin.gguf")
    path = Path(text)
    if path.exists():
        return path
    entries = load_entries()
    if text in entries:
        return entries[text].path
    raise InputError(_unknown(text, path, entries))


def _unknown(text: str, path: Path, entries: dict[str, ModelEntry]) -> str:
    siblings = [str(p) for p in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
    near = get_close_matches(text, [*entries, BUILTIN, *siblings], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"give a path to a GGUF file or {BUILTIN!r}"
    return f"no model {text!r}: there is no such file and no such alias in models.toml; {hint}"


def load_entries() -> dict[str, ModelEntry]:
    """All aliases of all models.toml files, those of the first file winning."""
    found: dict[str, ModelEntry] = {}
    for place in search_places():
        if place.is_file():
            for name, entry in read_models_toml(place).items():
                found.setdefault(name, entry)
    return found


def search_places() -> list[Path]:
    """Where models.toml is looked for, in order."""
    places = [config_folder() / "models.toml", Path("models.toml")]
    named = os.environ.get("ZIGLLM_MODELS")
    return [Path(named).expanduser(), *places] if named else places


def config_folder() -> Path:
    """The user's configuration folder for zigllm on this platform."""
    home = Path.home()
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", home / "AppData" / "Roaming"))
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "zigllm"


def read_models_toml(path: Path) -> dict[str, ModelEntry]:
    """The aliases of one models.toml.

    Raises:
        UsageError: not TOML, an unknown key or a wrong type; the message names file and key.
    """
    import tomllib

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
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
    known = [field.name for field in fields(ModelEntry)]
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{where}.{key} is unknown; known keys are {', '.join(known)}")
        if not isinstance(value, str):
            raise UsageError(f"{where}.{key} is {value!r}, but must be a text in quotes")
    if "path" not in table:
        raise UsageError(f"{where} has no path")
    file = path.parent / Path(table["path"]).expanduser()
    return ModelEntry(**{**table, "path": file})


def complete_model(incomplete: str) -> list[str]:
    """Shell completion: aliases and GGUF files that begin with what was typed."""
    folder, _, start = incomplete.rpartition("/")
    files = [
        f"{path}/" if path.is_dir() else str(path)
        for path in sorted(Path(folder or ("/" if incomplete.startswith("/") else ".")).glob("*"))
        if path.name.startswith(start) and (path.is_dir() or path.suffix == ".gguf")
    ]
    try:
        names = [BUILTIN, *load_entries()]
    except (UsageError, OSError):
        names = [BUILTIN]
    return [name for name in names if name.startswith(incomplete)] + files
