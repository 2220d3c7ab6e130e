"""A grammar at work on one sequence: a sampler that leaves only what may come next."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from zigllm_cli.errors import GenerationError, UnsupportedError
from zigllm_cli.grammar.forms import Grammar
from zigllm_cli.sampling import Candidates, State

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")

_SPREAD = np.where(_BITS, np.float32(0), np.float32(-np.inf))
"""What the eight bits of a byte add to logits: float32 [256, 8], nothing or minus infinity."""


@lru_cache(maxsize=2)
def tokens_of(tokenizer: Tokenizer) -> Any:
    """A vocabulary as llguidance keeps it (an `LLTokenizer`): a tree of bytes.

    Takes 0.6 s for 150,000 tokens, so it is made once.

    Raises:
        UnsupportedError: the model has no end token, without which no text can be whole.
    """
    from llguidance import LLTokenizer
    from llguidance._tokenizer import TokenizerWrapper

    if not tokenizer.vocabulary.end_ids:
        raise UnsupportedError("this model has no end token, so its text cannot be constrained")
    wrapper = TokenizerWrapper(_Vocabulary(tokenizer))
    ends = sorted(tokenizer.vocabulary.end_ids)
    return LLTokenizer(wrapper, n_vocab=len(tokenizer), eos_token=ends)


class _Vocabulary:
    """What llguidance asks of a tokenizer. Where only one text can follow, it asks for its tokens
    and allows those alone, as the model would spell it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.vocabulary
        self._tokenizer = tokenizer
        ends = vocabulary.end_ids
        self.eos_token_id = min(ends)
        self.bos_token_id = vocabulary.special.get("bos")
        self.tokens = [
            tokenizer.piece(token, render_special=False) for token in range(len(tokenizer))
        ]
        self.special_token_ids = [
            token for token, piece in enumerate(self.tokens) if token in ends or not piece
        ]
        for token in self.special_token_ids:  # each needs a name
            self.tokens[token] = tokenizer.piece(token) or b"<[%d]>" % token

    def __call__(self, raw: bytes) -> list[int]:
        text = raw.decode("utf-8", "surrogateescape")
        return self._tokenizer.encode_text(text, after_special=False) if text else []


class Constraint:
    """Leaves the tokens with which a text can still become what its grammar says.

    Args:
        tokens: the vocabulary, by `tokens_of`.
        grammar: by one of the functions of `forms`.

    Attributes:
        is_over: whether the text is whole and nothing may follow but an end token.
    """

    name: ClassVar[str] = "grammar"
    is_idle = False

    def __init__(self, tokens: Any, grammar: Grammar) -> None:
        from llguidance import LLMatcher

        self._grammar = grammar
        self._matcher = LLMatcher(tokens, grammar.text, log_level=0)
        self._check()

    @property
    def is_over(self) -> bool:
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    @property
    def forced(self) -> bytes:
        """What must come next, if only one text can."""
        return bytes(self._matcher.compute_ff_bytes())

    def apply(self, candidates: Candidates, state: State) -> Candidates:
        """All candidates, with minus infinity for those that may not come.

        Raises:
            GenerationError: none may.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        # an index that cannot be out of range is "clipped": unchecked, and four times as fast
        logits = _SPREAD.take(bits, axis=0, mode="clip").reshape(-1)[: state.vocabulary]
        if len(logits) < state.vocabulary:  # rows of logits beyond the vocabulary
            logits = np.pad(logits, (0, state.vocabulary - len(logits)), constant_values=-np.inf)
        if not candidates.is_everything:
            logits = logits[candidates.ids]
        logits += candidates.logits
        if logits.max(initial=-np.inf) == -np.inf:
            raise GenerationError(
                f"dead end: {self._grammar.name} allows no token here that the other settings allow"
            )
        return candidates.with_logits(logits)

    def accept(self, token: int, candidates: Candidates) -> None:
        """The text goes on with this token."""
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            problem = " ".join(str(self._matcher.get_error()).split())[:300]
            raise GenerationError(f"{self._grammar.name} cannot be followed: {problem}")
