"""Read a tiktoken vocabulary: a line for each token, its bytes in base64 and its rank.

The file has no merges: a token's bytes, merged by the ranks below its own, end as the two parts
that it is made of.
"""

from __future__ import annotations

import binascii
from base64 import b64decode

from zigllm_cli.errors import InputError
from zigllm_cli.tokenizers.bytelevel import TO_VISIBLE

QWEN_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN_EXTRAS = 205
"""Tokens behind the vocabulary of Qwen 1: the three, and `<|extra_0|>` to `<|extra_204|>`."""


def qwen_specials(first: int, size: int | None) -> dict[int, str]:
    """Qwen 1's tokens behind the ranks, by id, as far as the model has room for them."""
    texts = [*QWEN_SPECIALS, *(f"<|extra_{number}|>" for number in range(QWEN_EXTRAS))]
    ids = enumerate(texts, first)
    return {index: text for index, text in ids if size is None or index < size}


def read_ranks(text: str, name: str) -> dict[bytes, int]:
    """Tokens and their ranks.

    Raises:
        InputError: a line is something else.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        word, _, rank = line.partition(" ")
        try:
            ranks[b64decode(word, validate=True)] = int(rank)
        except (binascii.Error, ValueError):
            raise InputError(f"{name}, line {number}: {line!r:.60} is no token") from None
    return ranks


def printable(token: bytes) -> str:
    """A token as byte-level BPE writes it."""
    return token.decode("latin-1").translate(TO_VISIBLE)


def merges_of(ranks: dict[bytes, int]) -> list[str]:
    """`left right` for every token of more than a byte, by rank."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = _parts(ranks, token, rank) if len(token) > 1 else []
        if len(parts) == 2:
            merges.append(" ".join(map(printable, parts)))
    return merges


def _parts(ranks: dict[bytes, int], token: bytes, limit: int) -> list[bytes]:
    """A token's bytes, merged as far as ranks below `limit` do."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(parts[i] + parts[i + 1], limit) for i in range(len(parts) - 1)]
        best = min(pairs)
        if best >= limit:
            break
        place = pairs.index(best)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts
