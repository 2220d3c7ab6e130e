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

    from zigllm_cli.sampling import Chain
    from zigllm_cli.tokenizers import Tokenizer

END, STOP, LENGTH, CONTEXT = "end", "stop", "length", "context"
"""Why a text is over: an end token, a stop string, max_tokens, a full context."""


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
        token = self.chain.sample(logits, self.tokens)
        if token in self._ends:
            return self.finish(END)
        self.tokens.append(token)
        self.ids.append(token)
        piece = self._show(self._stream.push(token))
        if self.finish_reason is None and len(self.ids) == self._max_tokens:
            piece += self.finish(LENGTH)
        return piece

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
    """

    load: float = 0.0
    prefill: float = 0.0
    prefill_tokens: int = 0
    decode: float = 0.0
    decode_tokens: int = 0
    first_token: float = 0.0

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
        load: float = 0.0,
    ) -> None:
        check_length(len(continuation.prompt), session.runner.context)
        self.session = session
        self.continuation = continuation
        self.timings = Timings(load=load)
        self._keep = keep
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
                logits = self.session.eval(continuation.tokens[-1:])
                piece = continuation.choose(logits)
                timings.decode_tokens += 1
            else:
                piece = continuation.finish(CONTEXT)
            timings.decode += perf_counter() - start

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
