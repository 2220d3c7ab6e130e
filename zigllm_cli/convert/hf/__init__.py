"""Hugging Face folders: `config.json`, weights, tokenizer files."""

from __future__ import annotations

from pathlib import Path

from zigllm_cli.convert.conversion import Conversion, Options
from zigllm_cli.errors import UnsupportedError


def recognises(path: Path) -> bool:
    """Whether this is a folder with a `config.json`."""
    return (path / "config.json").is_file()


def read(path: Path, options: Options) -> Conversion:
    """The model of a folder."""
    raise UnsupportedError(f"{path}: Hugging Face folders cannot be converted yet")
