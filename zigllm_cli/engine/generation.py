"""Text that goes on from a prompt, piece by piece.

`Continuation` is one sequence without an engine: it takes logits, chooses tokens, and says what
text they make and when it is over. `Generation` drives one with a session; `batching` drives
many together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.engine.session import Session
from zigllm_cli.engine.stopping import StopMatcher
from zigllm_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zigllm_cli.engine.drafting import Drafter
    from zigllm_cli.sampling import Chain
    from zigllm_cli.tokenizers import Tokenizer

END, STOP, LENGTH, CONTEXT = "end", "stop", "length", "context"
"""Why a text is over: an end token, a stop string, max_tokens, a full context."""


NO_LIMIT = 1 << 62


class Continuation:
    """A prompt and what follows it.

    Args:
        tokenizer: knows end tokens, and text.
        chain: chooses tokens.
        prompt: ids, at least one.
        max_tokens: most tokens to choose; None for no limit.
        stop: texts that end it, and are not part of it.

    Attributes:
        tokens: prompt and continuation.
        ids: the continuation alone, without an end token.
        text: what was shown of it so far.
        finish_reason: None while it goes on; else END, STOP, LENGTH or CONTEXT.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        chain: Chain,
        prompt: Sequence[int],
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        if not prompt:
            raise UsageError("the prompt is empty, and this model begins no text by itself")
        if max_tokens is not None and max_tokens < 0:
            raise UsageError(f"max-tokens is {max_tokens}, but must be 0 or more")
        self.chain = chain
        self.prompt = list(prompt)
        self.tokens = list(prompt)
        self.ids: list[int] = []
        self.text = ""
        self.finish_reason: str | None = None
        self._max_tokens = max_tokens
        self._ends = tokenizer.vocabulary.end_ids
        self._stop = StopMatcher(stop)
        # The stream reads the prompt too: a character may begin in it, and a space behind it
        # is not the one that the tokenizer put in front of the text.
        self._stream = tokenizer.stream()
        for token in prompt:
            self._stream.push(token)
        if max_tokens == 0:
            self.finish_reason = LENGTH

    def choose(self, logits: NDArray[np.float32]) -> str:
        """Choose the next token; returns the text that can be shown now, maybe none."""
        return self.take(self.chain.sample(logits, self.tokens))

    def take(self, token: int) -> str:
        """Go on with a token that was chosen; returns the text that can be shown now."""
        if token in self._ends:
            return self.finish(END)
        self.tokens.append(token)
        self.ids.append(token)
        piece = self._show(self._stream.push(token))
        if self.finish_reason is None and self.chain.is_over:
            piece += self.finish(END)
        if self.finish_reason is None and len(self.ids) == self._max_tokens:
            piece += self.finish(LENGTH)
        return piece

    @property
    def left(self) -> int:
        """How many tokens may still be chosen."""
        return NO_LIMIT if self._max_tokens is None else self._max_tokens - len(self.ids)

    def finish(self, reason: str) -> str:
        """End it for this reason; returns the text that still waited."""
        rest = self._show(self._stream.close())
        if self.finish_reason is None:
            self.finish_reason = reason
            last = self._stop.close()
            self.text += last
            rest += last
        return rest

    def _show(self, text: str) -> str:
        shown = self._stop.push(text)
        self.text += shown
        if self._stop.found is not None:
            self.finish_reason = STOP
        return shown


@dataclass
class Timings:
    """How long the parts of a generation took, in seconds.

    Attributes:
        load: opening the model; what the caller says.
        prefill: evaluating the prompt, of which `prefill_tokens` were not known yet.
        decode: choosing and evaluating the `decode_tokens` behind the first one.
        first_token: from the beginning, load included, until the first token was chosen.
        drafted, accepted: tokens that a drafter guessed, and those of them that came true.
    """

    load: float = 0.0
    prefill: float = 0.0
    prefill_tokens: int = 0
    decode: float = 0.0
    decode_tokens: int = 0
    first_token: float = 0.0
    drafted: int = 0
    accepted: int = 0

    @property
    def prefill_rate(self) -> float:
        """Tokens per second of the prompt; 0 where there was none to evaluate."""
        return self.prefill_tokens / self.prefill if self.prefill else 0.0

    @property
    def decode_rate(self) -> float:
        """Tokens per second behind the first one; 0 where there were none."""
        return self.decode_tokens / self.decode if self.decode else 0.0


class Generation(Iterator[str]):
    """An iterator over pieces of text, each to be shown as it comes.

    Args:
        session: may know the beginning of the prompt already.
        continuation: the prompt, and how to go on.
        keep: context shift: when the context is full, half of the tokens behind the first `keep`
            are forgotten. None: the text ends there.
        drafter: guesses ahead; what is chosen stays the same.
        load: seconds that loading took, for the timings.

    Raises:
        UsageError: the prompt is longer than the context.
    """

    def __init__(
        self,
        session: Session,
        continuation: Continuation,
        *,
        keep: int | None = None,
        drafter: Drafter | None = None,
        load: float = 0.0,
    ) -> None:
        check_length(len(continuation.prompt), session.runner.context)
        self.session = session
        self.continuation = continuation
        self.timings = Timings(load=load)
        self._keep = keep
        self._drafter = drafter
        self._pieces = self._run()

    @property
    def text(self) -> str:
        """What was given out so far."""
        return self.continuation.text

    @property
    def ids(self) -> list[int]:
        """The tokens chosen so far, without an end token."""
        return self.continuation.ids

    @property
    def finish_reason(self) -> str | None:
        """None while it goes on; then "end", "stop", "length" or "context"."""
        return self.continuation.finish_reason

    def __next__(self) -> str:
        return next(self._pieces)

    def _run(self) -> Iterator[str]:
        continuation, timings = self.continuation, self.timings
        if continuation.finish_reason:
            return
        start = perf_counter()
        logits = self._prefill()
        piece = continuation.choose(logits)
        timings.first_token = timings.load + perf_counter() - start
        while True:
            if piece:
                yield piece
            if continuation.finish_reason:
                return
            start = perf_counter()
            if make_room(self.session, self._keep):
                piece = self._advance()
            else:
                piece = continuation.finish(CONTEXT)
            timings.decode += perf_counter() - start

    def _advance(self) -> str:
        """Evaluate the last token, and guesses of those behind it; choose as far as they hold.

        Every token is chosen by the same logits as without guesses: those behind a guess count
        only when that guess was what the chain chose.
        """
        continuation, session = self.continuation, self.session
        guesses = self._guesses()
        known = len(session)
        rows = session.eval_all([continuation.tokens[-1], *guesses])
        piece, chosen = "", 0
        for row, guess in zip(rows, [*guesses, None], strict=True):
            before = len(continuation.ids)
            piece += continuation.choose(row)
            chosen += 1
            if continuation.finish_reason or len(continuation.ids) == before:
                break
            if continuation.ids[-1] != guess:
                break
        session.truncate(known + chosen)
        self.timings.decode_tokens += chosen
        self.timings.drafted += len(guesses)
        self.timings.accepted += chosen - 1
        return piece

    def _guesses(self) -> list[int]:
        if self._drafter is None:
            return []
        wanted = min(self.session.room - 1, self.continuation.left - 1)
        return self._drafter.propose(self.continuation.tokens, wanted) if wanted > 0 else []

    def _prefill(self) -> NDArray[np.float32]:
        start = perf_counter()
        prompt = self.continuation.prompt
        known = self.session.reuse(prompt)
        logits = self.session.eval(prompt[known:])
        self.timings.prefill_tokens = len(prompt) - known
        self.timings.prefill = perf_counter() - start
        return logits


def check_length(tokens: int, context: int) -> None:
    """Refuse a prompt that the context does not hold.

    Raises:
        UsageError: with both numbers.
    """
    if tokens > context:
        raise UsageError(
            f"the prompt has {tokens} tokens, but the context holds {context}; "
            "give a larger --ctx, or cut it with --truncate head or --truncate middle"
        )


def make_room(session: Session, keep: int | None) -> bool:
    """Room for one more token: as it is, or by a context shift that spares the first `keep`.

    llama.cpp's rule: half of the tokens behind those kept are forgotten, the oldest ones.
    """
    if session.room > 0:
        return True
    behind = len(session) - (keep or 0)
    if keep is None or behind < 2:
        return False
    session.shift(keep, behind // 2)
    return True
