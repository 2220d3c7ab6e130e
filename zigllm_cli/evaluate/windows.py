"""Which tokens are evaluated together, and which of them are scored.

    llama-perplexity   [ . . . . s s s s ][ . . . . s s s s ]     the second half of each chunk
    --stride S         [ . . . . . . s s ]                        the last S of each window
                           [ . . . . . . s s ]
    --window, overlap  [ . s s s s s s s ]                        every token once, behind the
                                   [ . . . s s s s s ]            overlap with the window before

A model that wants a BOS token gets it in place of each window's first token, which is never
scored. How llama-perplexity cuts: chunks of `ctx` tokens, the rest dropped, at least two chunks
wanted; of ctx tokens the last ctx - ctx/2 - 1 are scored, since the first half only gives context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zigllm_cli.errors import InputError, UsageError

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Tokens to evaluate from an empty context.

    Attributes:
        number: of the window in its text, from 0.
        start: where it begins, in tokens of the text.
        tokens: as evaluated.
        scored: index of the first token whose probability counts; all later ones do too.
        original: the first token as it stands in the text.
    """

    number: int
    start: int
    tokens: Tokens
    scored: int
    original: int

    @property
    def text_tokens(self) -> Tokens:
        """The tokens as they stand in the text."""
        return (self.original, *self.tokens[1:])

    @property
    def targets(self) -> Tokens:
        """The tokens that are scored."""
        return self.tokens[self.scored :]


@dataclass(frozen=True)
class Windowing:
    """How a text is cut into windows; see the pictures above.

    Attributes:
        length: tokens of a window.
        step: from one window's start to the next one's.
        scored: tokens at a window's end that are scored.
        needed: tokens that a text must have.
        last_dropped: a window counts only if the text goes on behind it, as llama-perplexity's
            windows with a stride do.
        whole_text: the first window scores all tokens, and the last one may be shorter.
    """

    length: int
    step: int
    scored: int
    needed: int
    last_dropped: bool = False
    whole_text: bool = False

    @classmethod
    def chunks(cls, ctx: int) -> Windowing:
        """llama-perplexity's: neighbours, the second half of each is scored."""
        if ctx < 4:
            raise UsageError(f"a context of {ctx} tokens is too short; give --ctx 4 or more")
        return cls(ctx, ctx, ctx - ctx // 2 - 1, needed=2 * ctx)

    @classmethod
    def strided(cls, ctx: int, stride: int) -> Windowing:
        """llama-perplexity's with a stride: overlapping, the last `stride` tokens are scored."""
        if not 1 <= stride < ctx:
            raise UsageError(
                f"--stride {stride} must be from 1 to {ctx - 1}, less than the context"
            )
        return cls(ctx, stride, stride, needed=ctx + 1, last_dropped=True)

    @classmethod
    def sliding(cls, length: int, overlap: int) -> Windowing:
        """Windows that overlap; every token of the text but the first is scored once.

        Without an overlap the first token of each window is not scored either.
        """
        if length < 2:
            raise UsageError(f"--window {length} is too short; give 2 or more")
        if not 0 <= overlap < length:
            raise UsageError(f"--overlap {overlap} must be from 0 to {length - 1}")
        return cls(length, length - overlap, length - max(overlap, 1), needed=2, whole_text=True)

    @property
    def name(self) -> str:
        """What a record of figures says about the windows."""
        if self.whole_text:
            return f"windows of {self.length}, overlap {self.length - self.step}"
        if self.last_dropped:
            return f"windows of {self.length}, stride {self.step}"
        return f"chunks of {self.length}"

    def windows(
        self, blocks: Iterable[list[int]], bos: int | None, limit: int | None = None
    ) -> Iterator[Window]:
        """Cut a stream of token ids.

        Args:
            blocks: of ids, the first one's first token being BOS where the tokenizer adds it.
            bos: what takes the place of each window's first token; None for nothing.
            limit: most windows.

        Raises:
            InputError: the text has too few tokens.
        """
        source, waiting, number, ended, seen = iter(blocks), list[int](), 0, False, 0
        while limit is None or number < limit:
            wanted = max(self.length + self.last_dropped, 0 if number else self.needed)
            while len(waiting) < wanted and not ended:
                block = next(source, None)
                ended = block is None
                waiting += block or []
                seen += len(block or [])
            if seen < self.needed:
                raise InputError(
                    f"the text has {seen} token{'s' * (seen != 1)}, but windows of {self.length} "
                    f"need {self.needed}; give a longer text or a smaller --ctx"
                )
            window = self._next(waiting, number, bos)
            if window is None:
                return
            yield window
            number += 1
            del waiting[: self.step]

    def _next(self, waiting: list[int], number: int, bos: int | None) -> Window | None:
        scored = self.length - self.scored
        if not self.whole_text:
            if len(waiting) < self.length + self.last_dropped:
                return None
        elif number == 0:
            scored = 1
        if len(waiting) <= scored:
            return None
        first = waiting[0]
        tokens = (first if bos is None else bos, *waiting[1 : self.length])
        return Window(number, number * self.step, tokens, scored, first)


def shard_of(windows: Iterable[Window], shard: int, shards: int) -> Iterator[Window]:
    """Every `shards`-th window, beginning with number `shard` - 1."""
    return (window for window in windows if window.number % shards == shard - 1)
