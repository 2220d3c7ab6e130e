"""How an answer looks: Markdown in a terminal, plain text elsewhere; thoughts apart from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Protocol

from zigllm_cli.chat.thinking import THINK, Part
from zigllm_cli.commands._output import colour_wanted, printable_lines, stdout_console, write

SHOW, HIDE, OFF = "show", "hide", "off"
"""Values of --think."""

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class _Body(Protocol):
    def push(self, text: str) -> None: ...

    def close(self) -> None: ...


class Screen:
    """Shows answers.

    Args:
        markdown: lay Markdown out, where stdout is a terminal that can move its cursor.
        think: SHOW or HIDE.
    """

    def __init__(self, *, markdown: bool, think: str) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.think = think
        self._markdown = markdown and self.is_terminal and os.environ.get("TERM") != "dumb"

    def show(self, parts: Iterable[Part]) -> None:
        """An answer as it comes; what came is shown whole also where an exception ends it."""
        body = self._body()
        thoughts = _Thoughts(self.think, is_terminal=self.is_terminal)
        try:
            for kind, text in parts:
                shown = printable_lines(text) if self.is_terminal else text
                if kind == THINK:
                    thoughts.push(shown)
                else:
                    thoughts.close()
                    body.push(shown)
        finally:
            thoughts.close()
            body.close()

    def _body(self) -> _Body:
        if not self._markdown:
            return _Raw(is_terminal=self.is_terminal)
        from zigllm_cli.commands._chat_markdown import LiveMarkdown

        return LiveMarkdown(stdout_console())


class _Raw:
    """Text as it is."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._last = "\n"

    def push(self, text: str) -> None:
        write(text)
        sys.stdout.flush()
        self._last = text[-1:] or self._last

    def close(self) -> None:
        if self._last != "\n":
            write("\n")
            sys.stdout.flush()


class _Thoughts:
    """What the model thinks: dim, behind a bar; on stderr where stdout is a pipe."""

    def __init__(self, think: str, *, is_terminal: bool) -> None:
        self._think = think
        self._stream = sys.stdout if is_terminal else sys.stderr
        self._dim = colour_wanted(self._stream)
        self._is_terminal = is_terminal
        self._open = False
        self._line_start = True

    def push(self, text: str) -> None:
        if self._think != SHOW:
            if self._is_terminal and not self._open:
                self._put("(thinking)")
            self._open = True
            return
        self._open = True
        for line in text.splitlines(keepends=True):
            self._put(f"│ {line}" if self._line_start else line)
            self._line_start = line.endswith("\n")

    def close(self) -> None:
        if self._open:
            self._open = False
            erased = self._think != SHOW and self._is_terminal
            self._put("\r\x1b[K" if erased and self._dim else "" if self._line_start else "\n")
            if self._think == SHOW:
                self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._stream.write(f"{DIM}{text}{PLAIN}" if self._dim else text)
            self._stream.flush()


def meter(used: int, context: int, width: int = 10) -> str:
    """How full the context is, as a bar and in numbers."""
    from zigllm_cli.commands._charts import bar, blocks_wanted

    share = used / context if context else 0.0
    blocks = blocks_wanted(sys.stdout)
    filled = bar(share, width, blocks=blocks)
    edges = "▕▏" if blocks else "[]"
    line = f"{edges[0]}{filled:<{width}}{edges[1]}"
    return f"{line} {used:,} of {context:,} tokens, {share:.0%}"
