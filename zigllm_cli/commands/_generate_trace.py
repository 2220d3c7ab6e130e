"""`--trace`: how each token came about, sampler by sampler.

In a terminal a table that follows the text; in a pipe a block of lines per token; with
`--trace-json` a JSON object per line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from math import log
from typing import TYPE_CHECKING, Any

from zigllm_cli.commands._output import printable, printable_lines, show, stderr_console, write

if TYPE_CHECKING:
    from rich.table import Table

    from zigllm_cli.sampling import Candidates, Choice
    from zigllm_cli.tokenizers import Tokenizer

SCHEMA = "zigllm.trace/1"

ROWS = 8
"""Candidates shown per step."""


class Tracer:
    """A watcher of a chain. Use as a context, and tell it of the text as it comes.

    Args:
        as_json: lines on stdout instead of tables on stderr.
    """

    def __init__(self, tokenizer: Tokenizer, *, as_json: bool) -> None:
        self._tokenizer = tokenizer
        self._console = stderr_console()
        self._emit: Callable[[int, Choice], None] = self._print
        self._live: Any = None
        self._text, self._step = "", 0
        if as_json:
            self._emit = self._write_json
        elif self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._emit = self._update

    @property
    def owns_screen(self) -> bool:
        """Whether the text is shown here, so that nobody else may write to the terminal."""
        return self._live is not None

    def __enter__(self) -> Tracer:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Text that was given out."""
        self._text += text

    def __call__(self, choice: Choice) -> None:
        self._step += 1
        self._emit(self._step, choice)

    def _piece(self, token: int) -> str:
        return self._tokenizer.piece(token).decode("utf-8", "replace")

    # -------------------------------------------------------------- forms

    def _write_json(self, step: int, choice: Choice) -> None:
        stages = [
            {
                "name": name,
                "candidates": len(candidates),
                "entropy": candidates.entropy() / log(2),
                "top": [
                    {"id": token, "text": self._piece(token), "p": p or 0.0}
                    for token, p in _top(candidates)
                ],
            }
            for name, candidates in choice.stages
        ]
        chosen = {"id": choice.token, "text": self._piece(choice.token)}
        line = {"schema": SCHEMA, "step": step, "stages": stages, "chosen": chosen}
        write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def _print(self, step: int, choice: Choice) -> None:
        show(self._console, self._table(step, choice))

    def _update(self, step: int, choice: Choice) -> None:
        from rich.console import Group
        from rich.text import Text

        height = max(self._console.height - ROWS - 8, 2)
        shown = printable_lines(self._text).split("\n")[-height:]
        self._live.update(Group(Text("\n".join(shown)), self._table(step, choice)), refresh=True)

    def _table(self, step: int, choice: Choice) -> Table:
        """A row per candidate, a column per sampler with the probability behind it."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        first, last = choice.stages[0][1], choice.stages[-1][1]
        title = (
            f"step {step} · entropy {first.entropy() / log(2):.2f} bits, "
            f"{last.entropy() / log(2):.2f} when drawn · chose {self._quoted(choice.token)}"
        )
        table = Table(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False)
        table.add_column("candidate", no_wrap=True)
        for name, candidates in choice.stages:
            table.add_column(f"{name}\n{len(candidates)}", justify="right")
        tokens = [token for token, _ in _top(first)]
        tokens += [t for t, _ in _top(last) if t not in tokens]
        tokens += [choice.token] if choice.token not in tokens else []
        columns = [_probabilities(candidates, tokens) for _, candidates in choice.stages]
        for row, token in enumerate(tokens):
            style = "bold" if token == choice.token else ""
            cells = ("-" if column[row] is None else f"{column[row]:.4f}" for column in columns)
            table.add_row(Text(self._quoted(token)), *cells, style=style)
        return table

    def _quoted(self, token: int) -> str:
        return f"'{printable(self._piece(token))}'"


def _top(candidates: Candidates) -> list[tuple[int, float | None]]:
    """The likeliest candidates with their probabilities."""
    best = candidates.top(ROWS).ids.tolist()
    return list(zip(best, _probabilities(candidates, best), strict=True))


def _probabilities(candidates: Candidates, tokens: list[int]) -> list[float | None]:
    """Of each token, or None where it is no candidate any more."""
    shares = candidates.probabilities()
    found: list[float | None] = [None] * len(tokens)
    for token, place in zip(*candidates.positions(tokens), strict=True):
        found[int(token)] = float(shares[place])
    return [None if share == 0 else share for share in found]
