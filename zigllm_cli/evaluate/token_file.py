"""A file with each scored token's figures: JSON lines, or NumPy arrays (.npz)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zigllm_cli.atomic import atomic_file
from zigllm_cli.errors import UsageError
from zigllm_cli.evaluate.chunks import Chunk
from zigllm_cli.tokenizers import Tokenizer

COLUMNS = ("chunk", "position", "token", "log_prob", "rank")
BASE_COLUMNS = ("base_log_prob", "kld", "same_top")


class TokenFile:
    """Takes chunks with their tokens.

    Columns: chunk (from 0), position of the token in the text's tokens, token, log_prob (natural
    logarithm), rank (1: none is likelier), and against a base model base_log_prob, kld (nats) and
    same_top. JSON lines also have the token's text.
    """

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer | None) -> None:
        self._file = file
        self._tokenizer = tokenizer

    def add(self, chunk: Chunk) -> None:
        """Write a chunk's tokens."""
        for row in zip(*(values.tolist() for values in columns(chunk).values()), strict=True):
            record: dict[str, Any] = dict(zip(columns(chunk), row, strict=True))
            if self._tokenizer is not None:
                piece = self._tokenizer.piece(record["token"])
                record["text"] = piece.decode("utf-8", "replace")
            self._file.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")

    def close(self) -> None:
        """Nothing is left to write."""


class ArrayFile(TokenFile):
    """The same as arrays; they are written at the end."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, None)
        self._parts: list[dict[str, np.ndarray[Any, Any]]] = []

    def add(self, chunk: Chunk) -> None:
        """Keep a chunk's tokens."""
        self._parts.append(columns(chunk))

    def close(self) -> None:
        """Write the arrays."""
        names = self._parts[0] if self._parts else COLUMNS
        np.savez_compressed(
            self._file,
            allow_pickle=False,
            **{name: np.concatenate([part[name] for part in self._parts]) for name in names},
        )


def columns(chunk: Chunk) -> dict[str, np.ndarray[Any, Any]]:
    """A chunk's tokens, arrays by name."""
    figures = chunk.tokens
    assert figures is not None, "chunks that are written token by token keep them"
    count = len(figures)
    found = {
        "chunk": np.full(count, chunk.number, np.int64),
        "position": np.arange(chunk.first, chunk.first + count, dtype=np.int64),
        "token": figures.tokens.astype(np.int64),
        "log_prob": figures.log_probs,
        "rank": figures.ranks.astype(np.int64),
    }
    if figures.base is not None:
        base = (figures.base.log_probs, figures.base.divergences, figures.base.same_tops)
        found |= dict(zip(BASE_COLUMNS, base, strict=True))
        found["same_top"] = found["same_top"].astype(bool)
    return found


@contextmanager
def token_file(path: Path, tokenizer: Tokenizer | None) -> Iterator[TokenFile]:
    """Open one by its name; it appears when the block ends well.

    Args:
        tokenizer: for the tokens' texts in JSON lines; None without.

    Raises:
        UsageError: the name does not say the form.
    """
    if path.suffix not in (".jsonl", ".npz"):
        raise UsageError(f"--per-token {path}: the name must end in .jsonl or .npz")
    with atomic_file(path) as file:
        out = ArrayFile(file) if path.suffix == ".npz" else TokenFile(file, tokenizer)
        yield out
        out.close()
