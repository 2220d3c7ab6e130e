"""`zigllm tokenize`: text to token ids, and back."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zigllm_cli.commands._options import FileOption, JsonOption, ModelOption, chosen_model
from zigllm_cli.commands._output import (
    colour_wanted,
    print_json,
    printable,
    printable_lines,
    talk,
    write,
)
from zigllm_cli.errors import UsageError, unreadable

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer
    from zigllm_cli.tokenizers.explain import Explanation

COLOURS = (153, 223, 157, 218, 229, 189)
"""Pale backgrounds of the 256-colour palette, dark text upon them; neighbours always differ."""


def tokenize(
    text: Annotated[str | None, typer.Argument(help="The text; default: standard input.")] = None,
    model: ModelOption = None,
    file: FileOption = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids alone, on one line.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print the number of tokens.")] = False,
    json: JsonOption = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="The input is token ids; print their text.")
    ] = False,
    no_special: Annotated[
        bool, typer.Option("--no-special", help="Do not add BOS, EOS and the like.")
    ] = False,
    parse_special: Annotated[
        bool,
        typer.Option(
            "--parse-special",
            help="Recognise control tokens such as <|im_end|> in the text (with --decode: "
            "print them).",
        ),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show pre-tokens and each merge in turn.")
    ] = False,
) -> None:
    """Turn text into token ids exactly as the model's own engine does, or ids into text.

    [bold]Examples[/bold]

      zigllm tokenize "Hello world" -m model.gguf

      zigllm tokenize -m model.gguf --ids -f story.txt > story.ids

      zigllm tokenize -m model.gguf --decode "1 15043 3186"

      zigllm tokenize "unbelievable" -m model.gguf --explain
    """
    from zigllm_cli.model import load

    if sum((ids, count, json, explain, decode)) > 1:
        raise UsageError("--ids, --count, --json, --explain and --decode exclude each other")
    source = read_input(text, file)
    tokenizer = load(chosen_model(model)).tokenizer
    if decode:
        decoded = tokenizer.decode(parse_ids(source), render_special=parse_special)
        write(printable_lines(decoded) + "\n" if sys.stdout.isatty() else decoded)
        return
    if explain:
        show_explanation(tokenizer, tokenizer.explain(source, parse_special=parse_special))
        return
    tokens = tokenizer.encode(source, add_special=not no_special, parse_special=parse_special)
    if count:
        print(len(tokens))
    elif ids:
        print(*tokens)
    elif json:
        print_json(as_document(tokenizer, tokens))
    else:
        show_tokens(tokenizer, tokens)
        talk(summary(tokens, source))


def read_input(text: str | None, file: Path | None) -> str:
    """The text to work on: the argument, a file, or standard input.

    Bytes that are not UTF-8 become surrogate escapes, which tokenizers understand.
    """
    if text is not None and file is not None:
        raise UsageError(f"give the text as an argument or with -f {file}, not both")
    if text is not None:
        return text
    if file is not None and str(file) != "-":
        try:
            return file.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise unreadable(file, error) from None
    if file is None and sys.stdin.isatty():
        raise UsageError("no text: give it as an argument, with -f FILE or through a pipe")
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


def parse_ids(source: str) -> list[int]:
    """Token ids separated by spaces, commas or brackets."""
    words = re.split(r"[\s,\[\]]+", source.strip())
    try:
        return [int(word) for word in words if word]
    except ValueError:
        wrong = next(word for word in words if word and not word.lstrip("-").isdigit())
        raise UsageError(f"{wrong!r} is not a token id; --decode takes numbers") from None


def piece_text(tokenizer: Tokenizer, token: int) -> str:
    """A token as it stands inside a text, with nothing that a terminal would obey."""
    return printable(tokenizer.piece(token).decode("utf-8", "surrogateescape"))


def as_document(tokenizer: Tokenizer, tokens: list[int]) -> dict[str, Any]:
    """The JSON form: `text` is null where a token is only part of a character."""
    from zigllm_cli.tokenizers import TokenType

    types = tokenizer.vocabulary.types
    entries = []
    for token in tokens:
        piece = tokenizer.piece(token)
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        kind = TokenType(types[token]).name.lower()
        entries.append({"id": token, "text": text, "bytes": piece.hex(), "type": kind})
    return {"schema": "zigllm.tokenize/1", "count": len(tokens), "tokens": entries}


def show_tokens(tokenizer: Tokenizer, tokens: list[int]) -> None:
    """Pieces and ids in the same colours; without colour one token a line."""
    if not colour_wanted(sys.stdout):
        for token in tokens:
            write(f"{token}\t{piece_text(tokenizer, token)}\n")
        return
    for position, token in enumerate(tokens):
        piece = piece_text(tokenizer, token)
        write(paint(piece, position) + ("\n" if piece.endswith("\\n") else ""))
    write("\n\n")
    for position, token in enumerate(tokens):
        write(paint(str(token), position) + " ")
    write("\n")


def paint(text: str, position: int) -> str:
    """`text` on the background of its place in the row."""
    return f"\x1b[38;5;16;48;5;{COLOURS[position % len(COLOURS)]}m{text}\x1b[0m"


def summary(tokens: list[int], source: str) -> str:
    """The counts people ask for."""
    size = len(source.encode("utf-8", "surrogateescape"))
    ratio = f", {size / len(tokens):.2f} bytes per token" if tokens else ""
    return f"{len(tokens)} tokens, {len(source)} characters, {size} bytes{ratio}"


def show_explanation(tokenizer: Tokenizer, entries: list[Explanation]) -> None:
    """Pre-tokens first, then each one's merges, one a line."""
    write("pre-tokens: " + " | ".join(printable(entry.text) for entry in entries) + "\n")
    for entry in entries:
        write(f"\n{printable(entry.text)}\n")
        if entry.symbols:
            write(f"  {'start':>14}  {' '.join(map(printable, entry.symbols))}\n")
        for step in entry.steps:
            write(f"  {step.reason:>14}  {' '.join(map(printable, step.symbols))}\n")
        pieces = (f"{token} {piece_text(tokenizer, token)!r}" for token in entry.ids)
        write(f"  {'tokens':>14}  {', '.join(pieces) or 'none'}\n")
