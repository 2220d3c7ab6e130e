"""The lists of `zigllm inspect`: keys, tensors, tokens, and single values as they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._output import (
    human_bytes,
    printable,
    printable_lines,
    stdout_console,
    write,
)

if TYPE_CHECKING:
    from zigllm_cli.gguf import Field
    from zigllm_cli.inspection.listing import MetadataRow, TensorRow
    from zigllm_cli.inspection.tokens import Token

LONG = 120
"""Characters of a value that a listing shows."""

BATCH = 5000


def show_metadata(rows: list[MetadataRow]) -> None:
    """One line for each key: name, type, value or the beginning of it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", ratio=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        kind = row.type if row.count is None else f"{row.type}[{row.count}]"
        table.add_row(Text(printable(row.key), "cyan"), kind, value_text(row))
    stdout_console().print(table)


def value_text(row: MetadataRow) -> str:
    """The value on one line; long texts and arrays end in `...`."""
    from zigllm_cli.inspection.formats import item_text, scalar_text

    if row.count is None:
        text, whole = scalar_text(row.value), True
    else:
        text = ", ".join(map(item_text, row.value))
        whole = len(row.value) == row.count
    if len(text) > LONG:
        return printable(text[:LONG]) + " ..."
    return printable(text) + ("" if whole else ", ...")


def show_tensors(rows: list[TensorRow], *, shards: bool) -> None:
    """One line for each tensor, then their sum on stderr's side of the world: the last line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("name", overflow="fold")
    table.add_column("shape", overflow="fold")
    table.add_column("type", no_wrap=True)
    for header in ("bytes", "offset", *(["shard"] if shards else [])):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        numbers = [str(row.bytes), str(row.offset)] + ([str(row.shard + 1)] if shards else [])
        shape = " x ".join(map(str, row.shape)) or "scalar"
        table.add_row(printable(row.name), shape, Text(row.type, "cyan"), *numbers)
    stdout_console().print(table)


def tensors_line(rows: list[TensorRow]) -> str:
    """The sum of a listing, in a sentence."""
    size, count = sum(row.bytes for row in rows), sum(row.parameters for row in rows)
    return f"{len(rows)} tensors, {count:,} values, {human_bytes(size)}"


def show_vocabulary(tokens: Iterator[Token]) -> None:
    """One line for each token: id, type, score, text."""
    while batch := list(islice(tokens, BATCH)):
        write("".join(map(_token_line, batch)))


def _token_line(token: Token) -> str:
    score = "" if token.score is None else f"{token.score:g}"
    return f"{token.id:>6}  {token.type or '-':<9} {score:>10}  {printable(token.text)}\n"


def show_vocabulary_json(head: dict[str, Any], tokens: Iterator[Token]) -> None:
    """The JSON document with one token a line: indenting 150,000 objects would take seconds."""
    opening = json.dumps(head, ensure_ascii=False, indent=2)[:-2]
    write(f'{opening},\n  "tokens": [')
    separator = "\n"
    while batch := list(islice(tokens, BATCH)):
        lines = (json.dumps(token.json(), ensure_ascii=False) for token in batch)
        write(separator + ",\n".join(f"    {line}" for line in lines))
        separator = ",\n"
    write("\n  ]\n}\n")


def show_raw(text: str, *, newline: bool) -> None:
    """A value as it is; on a terminal nothing that it would obey, in a pipe every byte."""
    end = "\n" if (newline or sys.stdout.isatty()) and not text.endswith("\n") else ""
    if sys.stdout.isatty():
        write(printable_lines(text) + end)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write((text + end).encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def show_value(field: Field) -> None:
    """One value raw: a text as it is, an array one element a line."""
    from zigllm_cli.gguf import Array
    from zigllm_cli.inspection.formats import item_text, plain, scalar_text

    value = plain(field.value, field.type)
    if not isinstance(field.value, Array):
        show_raw(scalar_text(value), newline=True)
        return
    for start in range(0, len(value), BATCH):
        lines = (
            printable(item if isinstance(item, str) else item_text(item))
            for item in value[start : start + BATCH]
        )
        write("".join(f"{line}\n" for line in lines))
