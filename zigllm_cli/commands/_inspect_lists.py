"""The lists of `zigllm inspect`: keys, tensors, tokens, and single values as they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zigllm_cli.commands._output import (
    human_bytes,
    printable,
    printable_lines,
    show,
    stdout_console,
    write,
)

if TYPE_CHECKING:
    from zigllm_cli.gguf import Field
    from zigllm_cli.inspection.listing import MetadataRow, TensorRow
    from zigllm_cli.inspection.tokens import Token

LONG = 120
"""Characters of a value that a listing shows."""

VALUE_WIDTH = 30
"""Columns that a value needs at least beside its key."""

BATCH = 5000


def show_metadata(rows: list[MetadataRow]) -> None:
    """One line for each key: name, type, value or the beginning of it."""
    cells = [
        (
            printable(row.key),
            row.type if row.count is None else f"{row.type}[{row.count}]",
            value_text(row),
        )
        for row in rows
    ]
    show_list(cells, ("", "", ""), ("cyan", "dim", ""), flexible=VALUE_WIDTH)


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
    """One line for each tensor, in file order."""
    headers = ["name", "shape", "type", "bytes", "offset"] + ["shard"] * shards
    cells = [
        (
            printable(row.name),
            " x ".join(map(str, row.shape)) or "scalar",
            row.type,
            str(row.bytes),
            str(row.offset),
            *([str(row.shard + 1)] if shards else []),
        )
        for row in rows
    ]
    show_list(cells, headers, ("", "", "cyan", ">", ">", ">"))


def show_list(
    rows: Sequence[Sequence[str]],
    headers: Sequence[str],
    styles: Sequence[str],
    *,
    flexible: int | None = None,
) -> None:
    """A table with the name in front; where it is too wide, the rest in a line below each name.

    Args:
        headers: all empty for a table without a header.
        styles: rich's style of each column, ">" for numbers.
        flexible: columns that are enough for the last column, which may take several lines.
    """
    console = stdout_console()
    widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    if flexible is not None:
        widths[-1] = min(widths[-1], flexible)
    if sum(widths) + 2 * (len(widths) - 1) <= console.width:
        show(console, _table(rows, headers, styles, folding=flexible is not None))
        return
    parts: list[Text | Padding] = []
    for name, *rest in rows:
        named = [f"{header} {cell}".strip() for header, cell in zip(headers[1:], rest, strict=True)]
        parts.append(Text(name, styles[0], overflow="fold"))
        parts.append(Padding(Text("  ".join(named), "dim", overflow="fold"), (0, 0, 0, 2)))
    show(console, *parts)


def _table(
    rows: Sequence[Sequence[str]], headers: Sequence[str], styles: Sequence[str], *, folding: bool
) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
        show_header=any(headers),
    )
    for index, (header, style) in enumerate(zip(headers, styles, strict=False)):
        is_last = index == len(headers) - 1
        table.add_column(
            header,
            justify="right" if style == ">" else "left",
            style=style.strip(">"),
            overflow="fold",
            no_wrap=not (folding and is_last),
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


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
