"""Which file a model argument means: a path, an alias of models.toml, or `builtin`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from zigllm_cli.catalog.entries import ModelEntry, load_entries
from zigllm_cli.errors import InputError, UsageError

BUILTIN = "builtin"


def resolve(name: str | os.PathLike[str]) -> Path:
    """The file that a model argument means.

    Raises:
        InputError: neither a file nor a known alias; the message names near matches.
        UsageError: models.toml is malformed.
    """
    text = os.fspath(name)
    if text == BUILTIN:
        return Path(__file__).parents[1] / "builtin.gguf"
    path = Path(text)
    if path.exists():
        return path
    entries = load_entries()
    if text in entries:
        return entries[text].path
    raise InputError(_unknown(text, path, entries))


def entry_of(name: str) -> ModelEntry | None:
    """What models.toml says of a model argument; None where it is a file, or not in there.

    Raises:
        UsageError: models.toml is malformed.
    """
    return None if name == BUILTIN or Path(name).exists() else load_entries().get(name)


def _unknown(text: str, path: Path, entries: Mapping[str, ModelEntry]) -> str:
    siblings = [str(p) for p in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
    near = get_close_matches(text, [*entries, BUILTIN, *siblings], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"give a path to a GGUF file or {BUILTIN!r}"
    return f"no model {text!r}: there is no such file and no such alias in models.toml; {hint}"


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
    except (UsageError, InputError, OSError):
        names = [BUILTIN]
    return [name for name in names if name.startswith(incomplete)] + files
