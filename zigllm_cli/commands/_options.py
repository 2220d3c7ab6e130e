"""Options that several commands share, spelt the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zigllm_cli.catalog import BUILTIN, complete_model
from zigllm_cli.commands._output import talk

MODEL_HELP = "GGUF file, first shard of a split one, alias of models.toml, or 'builtin'."

LLAMA_CPP_SPELLINGS = {
    "--ctx-size": "--ctx",
    "--n-predict": "--max-tokens",
    "--predict": "--max-tokens",
    "--temperature": "--temp",
    "--reverse-prompt": "--stop",
    "--cache-type-k": "--kv-type",
    "--cache-type-v": "--kv-type",
    "--parse_special": "--parse-special",
    "--no-bos": "--no-special",
    "--typical-p": "--typical",
    "--tfs": "--tail-free",
    "--grammar-file": "--grammar",
    "--json-schema-file": "--json-schema",
    "--model-draft": "--draft",
    "--spec-draft-n-max": "--draft-max",
    "--spec-draft-p-min": "--draft-p-min",
    "--prompt-cache": "--session",
}
"""llama.cpp's names of options that exist here under another one: accepted, never shown."""


def respell(words: list[str]) -> list[str]:
    """A command line with llama.cpp's spellings replaced by ours, up to a bare `--`."""
    end = words.index("--") if "--" in words else len(words)
    return [_respelt(word) for word in words[:end]] + words[end:]


def _respelt(word: str) -> str:
    name, equals, value = word.partition("=")
    return LLAMA_CPP_SPELLINGS.get(name, name) + equals + value


def chosen_model(model: str | None) -> str:
    """The model that was asked for, or the built-in one, said in a line."""
    if model is None:
        talk(f"no model given: using {BUILTIN}")
        return BUILTIN
    return model


def _complete(incomplete: str) -> list[str]:
    return complete_model(incomplete)


ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help=MODEL_HELP, autocompletion=_complete),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help=MODEL_HELP, autocompletion=_complete),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read the text from FILE."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the result to FILE.")
]
