"""New names for models, written into the user's models.toml, which stays as it was otherwise."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from zigllm_cli.atomic import atomic_file
from zigllm_cli.catalog.entries import _named, read_models_toml
from zigllm_cli.catalog.folders import config_folder
from zigllm_cli.errors import UsageError

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def target() -> Path:
    """The models.toml that new names go into: the one that was named, or the user's own."""
    if _named:
        return _named[0]
    variable = os.environ.get("ZIGLLM_MODELS")
    return Path(variable).expanduser() if variable else config_folder() / "models.toml"


def add(path: Path, name: str | None = None, description: str = "") -> tuple[str, Path]:
    """Write a `[models.NAME]` table; returns the name and the file it is in.

    Args:
        name: default: the file's own, without its ending and its shard's number.

    Raises:
        UsageError: the name is taken, or not one.
        InputError: models.toml can't be written.
    """
    name = name if name is not None else _SHARD.sub("", path.stem)
    if not name or name == "builtin" or "/" in name or not name.isprintable():
        raise UsageError(f"{name!r} can't be the name of a model; give another with --name")
    file = target()
    text = ""
    if file.is_file():
        if name in read_models_toml(file):
            raise UsageError(f"{file} has a model {name!r} already; give another name with --name")
        text = file.read_text("utf-8")
    key = name if _BARE.fullmatch(name) else _quoted(name)
    lines = [f"[models.{key}]", f"path = {_quoted(str(path.resolve()))}"]
    if description:
        lines.append(f"description = {_quoted(description)}")
    file.parent.mkdir(parents=True, exist_ok=True)
    start = f"{text.rstrip()}\n\n" if text.strip() else ""
    with atomic_file(file) as stream:
        stream.write((start + "\n".join(lines) + "\n").encode("utf-8"))
    return name, file


def _quoted(text: str) -> str:
    """A TOML string: JSON's, of which it forbids DEL alone."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
