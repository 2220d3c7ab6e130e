"""How far an evaluation is: the running estimate and the time left, on stderr.

In a terminal one line that is written over; elsewhere a line now and then, for a log.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from time import perf_counter

from zigllm_cli.commands._output import columns, talk
from zigllm_cli.evaluate.text import TokenStream
from zigllm_cli.evaluate.totals import Totals, mean_and_error

OFTEN, SELDOM = 0.1, 15.0
"""Seconds between two lines, in a terminal and in a log."""


@dataclass
class Extent:
    """How many chunks there will be.

    Attributes:
        step: tokens of the text per window.
        limit: most windows.
        shards: of which one is evaluated here.
        stream: of the text; None where the windows are counted already (`limit`).
        size: bytes of the text, if it is a file.
    """

    step: int
    limit: int | None
    shards: int = 1
    stream: TokenStream | None = None
    size: int | None = None

    def chunks(self) -> int | None:
        """About how many, as far as the text is known."""
        found = self.limit
        if self.stream is not None and self.size and self.stream.bytes_cut:
            tokens = self.stream.tokens * self.size / self.stream.bytes_cut
            found = min(int(tokens) // self.step, found or sys.maxsize)
        return None if found is None else max(-(-found // self.shards), 1)


class Line:
    """A line that is written over in a terminal, and written now and then elsewhere."""

    def __init__(self) -> None:
        self._last = perf_counter()
        self._is_shown = False

    def show(self, text: str) -> None:
        """Write it, unless the last one was just written."""
        now, is_terminal = perf_counter(), sys.stderr.isatty()
        if now - self._last < (OFTEN if is_terminal else SELDOM):
            return
        self._last = now
        if is_terminal:
            sys.stderr.write(f"\r\x1b[K{text[: columns(sys.stderr) - 1]}")
            sys.stderr.flush()
            self._is_shown = True
        else:
            talk(text)

    def close(self) -> None:
        """Take it away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@dataclass
class Progress:
    """Shows a text's running estimate.

    Attributes:
        extent: of the work.
        totals: so far.
        started: when the first chunk that was not known before was begun.
    """

    extent: Extent
    totals: Totals
    started: float = field(default_factory=perf_counter)
    _known: int = 0
    _line: Line = field(default_factory=Line)

    def begin(self) -> None:
        """The work begins; what the totals hold is known from an earlier run."""
        self.started = perf_counter()
        self._known = self.totals.chunks

    def update(self) -> None:
        """A chunk is done."""
        self._line.show(" · ".join(self._parts(perf_counter() - self.started)))

    def _parts(self, seconds: float) -> list[str]:
        totals = self.totals
        all_chunks, done = self.extent.chunks(), totals.chunks
        value, error = totals.perplexity
        count = f"chunk {done}" + ("" if all_chunks is None else f" of {max(all_chunks, done)}")
        parts = [count, f"perplexity {value:.4f} ± {error:.4f}"]
        if totals.base is not None:
            sums = totals.base.sums
            kld, _ = mean_and_error(sums["kld"], sums["kld_squared"], totals.count)
            parts.append(f"KLD {kld:.6f}")
        new = done - self._known
        if all_chunks is not None and new > 0:
            left = max(all_chunks - done, 0) * seconds / new
            parts.append(f"{duration(left)} left")
        return parts

    def close(self) -> None:
        """Take the line away."""
        self._line.close()


def duration(seconds: float) -> str:
    """As people say it: 48 s, 12 min, 3 h 20 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
