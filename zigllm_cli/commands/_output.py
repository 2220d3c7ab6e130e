"""The only place that prints: data on stdout, talk on stderr.

Colour follows the stream: none where it is not a terminal, with NO_COLOR or with TERM=dumb. Text
from a model file is untrusted and passes through `printable`, which leaves no control character
that a terminal would obey.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PROGRESS_BYTES = 64 << 20

PIPED_WIDTH = 2000
"""Columns when stdout is not a terminal: wide enough that nothing is cut for `grep`."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def stdout_console() -> Console:
    """A rich console for data, as wide as the terminal."""
    return _console(stderr=False)


def stderr_console() -> Console:
    """A rich console for notices and progress."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        width=columns(stream),
        height=get_terminal_size().lines,  # without it rich takes 80 columns for a dumb terminal
        color_system="auto" if colour_wanted(stream) else None,
    )


def columns(stream: TextIO) -> int:
    """Columns to fill: those of the terminal, or of COLUMNS; in a pipe enough for anything."""
    if not stream.isatty() and not os.environ.get("COLUMNS"):
        return PIPED_WIDTH
    try:
        size = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        size = 0
    return max(get_terminal_size((size or 80, 24)).columns, 20)


def show(console: Console, *renderables: Any) -> None:
    """Print on a rich console; in a pipe without the spaces that fill up a table's last column."""
    if console.is_terminal:
        for renderable in renderables:
            console.print(renderable)
        return
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_json(value: Any) -> None:
    """One JSON document on stdout, indented, in UTF-8."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    print()


def write(text: str) -> None:
    """Text on stdout as it is, without a line feed of its own."""
    sys.stdout.write(text)


def colour_wanted(stream: TextIO) -> bool:
    """Whether to send colours to a stream: a terminal that wants them (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr over `total` bytes; None to report to where no bar is worth its lines.

    That is a stderr which is no terminal, and work of less than a second.
    """
    if total < PROGRESS_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn(label),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def count_bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr over `total` pieces of work; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeRemaining

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemaining(), console=stderr_console(), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def talk(message: str) -> None:
    """A line for the user, on stderr, so that stdout stays data; in a terminal cut at words."""
    if sys.stderr.isatty() and len(message) > (width := columns(sys.stderr)) > 0:
        from textwrap import fill

        message = fill(message, width, replace_whitespace=False, break_long_words=False)
    print(message, file=sys.stderr)


def printable(text: str) -> str:
    r"""`text` with control characters, direction marks and broken bytes written as \n, \x1b ..."""
    return _CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Like `printable`, but line feeds and tabs stay: for text that has lines of its own."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if "\ud800" <= character <= "\udfff":
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode("ascii")


def human_bytes(count: float) -> str:
    """A size as people say it: 4.21 GB (powers of ten, as disks are sold and files are listed)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    digits = 0 if unit == "B" or count >= 100 else 1 if count >= 10 else 2
    return f"{count:.{digits}f} {unit}"


def human_count(count: float) -> str:
    """A number as people say it: 1.1 B parameters, 151.9 k tokens."""
    for unit in ("", " k", " M", " B", " T"):
        if count < 1000 or unit == " T":
            break
        count /= 1000
    return f"{count:.0f}" if unit == "" else f"{count:.4g}{unit}"
