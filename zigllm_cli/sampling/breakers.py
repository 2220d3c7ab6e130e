"""Sequence breakers of DRY: given as texts, needed as tokens.

A breaker may be a token of its own, lie inside a longer token, or begin at the end of one and
go on in those behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zigllm_cli.tokenizers import Tokenizer

MAX_BYTES = 40
"""Of a breaker this much counts."""

MAX_TAIL = 20
"""Tokens behind the first one that are compared."""


def sequence_breakers(
    texts: Sequence[str], tokenizer: Tokenizer
) -> dict[int, list[tuple[int, ...]]]:
    """Every token that a breaker may begin in, with what must follow it: llama.cpp's rule."""
    pieces = [_text_of(token, tokenizer) for token in range(len(tokenizer))]
    breakers: dict[int, list[tuple[int, ...]]] = {}
    for text in texts:
        wanted = text.encode("utf-8", "surrogateescape")[:MAX_BYTES]
        for token, piece in enumerate(pieces):
            if wanted[:1] not in piece:
                continue
            rests = [b""] if wanted in piece else list(_rests(piece, wanted))
            tails = [_ids(rest, tokenizer) for rest in rests]
            known = breakers.get(token, [])
            known += [tail for tail in tails if tail not in known]
            if known:
                breakers[token] = known
    return breakers


def _text_of(token: int, tokenizer: Tokenizer) -> bytes:
    """A token as a text of its own: without the space that stands for the text's start."""
    piece = tokenizer.piece(token)
    return piece.removeprefix(b" ") if tokenizer.drops_leading_space else piece


def _rests(piece: bytes, wanted: bytes) -> Iterator[bytes]:
    """What is missing of `wanted` behind each end of `piece` that it may begin with."""
    for count in range(min(len(piece), len(wanted) - 1), 0, -1):
        if piece.endswith(wanted[:count]):
            yield wanted[count:]


def _ids(rest: bytes, tokenizer: Tokenizer) -> tuple[int, ...]:
    text = rest.decode("utf-8", "surrogateescape")
    return tuple(tokenizer.encode(text, add_special=False)[:MAX_TAIL])
