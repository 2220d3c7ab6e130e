"""Which template a model gets: the user's, a named one, the file's, or one that its words show.

A named template is a file of the folder `named`; adding one there is all it takes.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zigllm_cli.errors import InputError, UsageError, reason_of

KEY = "tokenizer.chat_template"

CLUES = (
    ("<|im_start|>", "chatml"),
    ("<|start_header_id|>", "llama3"),
    ("<start_of_turn>", "gemma"),
    ("<|START_OF_TURN_TOKEN|>", "command-r"),
    ("<｜User｜>", "deepseek"),
    ("<|start_of_role|>", "granite"),
    ("[gMASK]", "chatglm"),
    ("<|end|>", "phi3"),
    ("[INST]", "mistral"),
)
"""Tokens that only a model of this template has."""

NAMES = (
    *(("vicuna", "vicuna"), ("alpaca", "alpaca"), ("zephyr", "zephyr"), ("tinyllama", "zephyr")),
    *(("llama-2", "llama2"), ("llama 2", "llama2"), ("llama2", "llama2"), ("mistral", "mistral")),
    *(("mixtral", "mistral"), ("falcon3", "falcon3"), ("falcon", "falcon")),
)
"""Parts of `general.name` and the template of such a model, if it is made for talking."""

TALKING = ("chat", "instruct", "vicuna", "alpaca", "zephyr", "-it")
"""Parts of a name that say so."""

_MARKERS = ("{{", "{%", "{#")


@dataclass(frozen=True)
class Choice:
    """A template, and where it comes from.

    Attributes:
        source: Jinja.
        name: short, for people.
        guessed: neither the user nor the file named it.
    """

    source: str
    name: str
    guessed: bool = False


def names() -> list[str]:
    """The named templates."""
    return sorted(path.stem for path in _folder().glob("*.jinja"))


@cache
def named(name: str) -> str:
    """The source of a named template."""
    return (_folder() / f"{name}.jinja").read_text("utf-8")


def choose(wanted: str | None, metadata: Mapping[str, Any], tokens: Container[str] = ()) -> Choice:
    """The template to use.

    Args:
        wanted: a name, the name of a variant in the file, a file, or Jinja source; None for
            the file's own, or else whatever fits.
        metadata: of the model's file.
        tokens: texts of its vocabulary.

    Raises:
        UsageError: nothing of that name.
        InputError: a template's file can't be read.
    """
    if wanted is not None:
        return _wanted(wanted, metadata)
    own = metadata.get(KEY)
    if isinstance(own, str) and own.strip():
        return Choice(own, "the file's own")
    name = detect(metadata, tokens)
    return Choice(named(name), name, guessed=True)


def detect(metadata: Mapping[str, Any], tokens: Container[str]) -> str:
    """The named template that a file without one was probably trained with, or `none`."""
    for token, name in CLUES:
        if token in tokens:
            return name
    title = " ".join(
        str(metadata.get(key, ""))
        for key in ("general.name", "general.basename", "general.finetune")
    ).lower()
    if any(part in title for part in TALKING):
        for part, name in NAMES:
            if part in title:
                return name
    return "none"


def variants(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Further templates of the file (`tokenizer.chat_template.NAME`), by name."""
    start = f"{KEY}."
    return {
        key.removeprefix(start): value
        for key, value in metadata.items()
        if key.startswith(start) and isinstance(value, str)
    }


def _wanted(wanted: str, metadata: Mapping[str, Any]) -> Choice:
    if any(marker in wanted for marker in _MARKERS):
        return Choice(wanted, "given")
    own = variants(metadata)
    if wanted in own:
        return Choice(own[wanted], f"the file's {wanted}")
    if wanted in names():
        return Choice(named(wanted), wanted)
    path = Path(wanted).expanduser()
    if not path.is_file():
        known = ", ".join([*own, *names()])
        raise UsageError(
            f"template {wanted!r} is no file, no Jinja text and no name; known names are {known}"
        )
    try:
        return Choice(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the template {path}: {reason_of(error)}") from None


def _folder() -> Path:
    return Path(__file__).with_name("named")
