"""Markdown that is shown while it comes, in a terminal that keeps its scroll-back.

Blocks that are complete are printed once and left alone. The last one is drawn anew as it grows;
of its lines only those that changed are, and never those that have left the screen.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.syntax import Syntax

PAUSE = 0.08
"""Seconds between two drawings, at least."""
SHARE = 10
"""And so many times as long as the last drawing took: decoding needs the processor more."""


class LeftHeading(Heading):
    """A heading at the left edge, in bold, instead of a frame around the middle."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class PlainCode(CodeBlock):
    """Code that can be copied as it is: no frame and no background."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(
            code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default"
        )


class ChatMarkdown(Markdown):
    """Markdown in which a line feed is one, as models mean it."""

    elements: ClassVar[Any] = {
        **Markdown.elements,
        "heading_open": LeftHeading,
        "fence": PlainCode,
        "code_block": PlainCode,
    }

    def __init__(self, text: str) -> None:
        super().__init__(text, code_theme="ansi_dark")
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"


class LiveMarkdown:
    """Shows a text that grows.

    Args:
        console: of the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parser = MarkdownIt().enable("table")
        self._text = ""
        self._drawn: list[str] = []
        self._has_blocks = False
        self._next = 0.0

    def push(self, text: str) -> None:
        """More text; it is drawn now or a little later."""
        self._text += text
        if perf_counter() >= self._next:
            self._draw(last=False)

    def close(self) -> None:
        """All of it is there."""
        self._draw(last=True)

    def _draw(self, *, last: bool) -> None:
        started = perf_counter()
        place = len(self._text) if last else self._start_of_last_block()
        if place:
            self._put(self._lines(self._text[:place]))
            self._has_blocks, self._drawn = True, []
            self._text = self._text[place:]
        if self._text.strip():
            self._put(self._lines(self._text))
        now = perf_counter()
        self._next = now + max(PAUSE, SHARE * (now - started))

    def _start_of_last_block(self) -> int:
        """Where the block begins that may still change."""
        blocks = self._parser.parse(self._text)
        starts = [t.map[0] for t in blocks if t.map and t.level == 0 and t.nesting >= 0]
        if len(starts) < 2:
            return 0
        lines = self._text.splitlines(keepends=True)
        return sum(map(len, lines[: starts[-1]]))

    def _lines(self, text: str) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(ChatMarkdown(text))
        lines = [line.rstrip(" ") for line in captured.get().strip("\n").split("\n")]
        return ["", *lines] if self._has_blocks and any(lines) else lines

    def _put(self, lines: list[str]) -> None:
        """Bring the screen from the lines that stand there to these."""
        drawn = self._drawn
        same = 0
        while same < min(len(drawn), len(lines)) and drawn[same] == lines[same]:
            same += 1
        same = max(same, len(drawn) - max(self._console.height - 1, 1))
        up = len(drawn) - same
        command = f"\x1b[{up}A\r\x1b[J" if up > 0 else ""
        sys.stdout.write(command + "".join(f"{line}\n" for line in lines[same:]))
        sys.stdout.flush()
        self._drawn = lines
