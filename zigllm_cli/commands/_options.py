"""Options that several commands share, spelt the same everywhere.

llama.cpp's long spellings are accepted beside ours and do not appear in the help.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zigllm_cli.catalog import BUILTIN, complete_model

MODEL_HELP = "GGUF file, first shard of a split one, alias of models.toml, or 'builtin'."


def _complete(incomplete: str) -> list[str]:
    return complete_model(incomplete)


def hidden_alias(name: str) -> Any:
    """Another spelling of an option: parsed, never shown. Combine with `first_given`."""
    return typer.Option(name, hidden=True)


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=_complete)
]
ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", metavar="MODEL", help=MODEL_HELP, autocompletion=_complete),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read the text from FILE.", dir_okay=False),
]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the result to FILE.")
]

__all__ = [
    "BUILTIN",
    "FileOption",
    "JsonOption",
    "ModelArgument",
    "ModelOption",
    "OutputOption",
]
_ = Callable
