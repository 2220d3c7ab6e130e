"""Saved log-probabilities of a base model, in the file format of llama-perplexity.

    "_logits_" | n_ctx i32 | n_vocab i32 | n_chunk i32 | tokens i32 [n_chunk, n_ctx]
    rows [n_chunk, n_ctx - 1 - n_ctx / 2], each of u16 [4 + n_vocab, rounded up to even]:
        scale f32 | lowest f32 | codes u16          log p = scale * code + lowest

All little-endian. Logits lower than the row's largest less 16 are raised to that, so that a code
is worth at most 16 / 65535; a comparison passes over base entries whose log p is -16 or less.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.scoring import Doubles, Floats, Scores
from zigllm_cli.errors import InputError, unreadable
from zigllm_cli.evaluate.evaluator import Rows
from zigllm_cli.evaluate.steps import Step
from zigllm_cli.evaluate.windows import Window, Windowing

MAGIC = b"_logits_"
HEADER = struct.Struct("<8s3i")
HEAD = 4
"""Codes that stand in for the scale and the lowest log-probability."""

CODES = 65535
DEPTH = 16.0
"""Nats below the largest logit that are kept apart."""


def row_codes(vocabulary: int) -> int:
    """16-bit numbers of a row."""
    return 2 * ((vocabulary + 1) // 2) + HEAD


def is_base_logits(path: Path) -> bool:
    """Whether a file begins like one of these."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class BaseLogits:
    """A file of saved log-probabilities, as something to measure models against.

    Attributes:
        path: of the file.
        ctx: tokens of a chunk.
        vocabulary: log-probabilities per row.
        chunks: how many.

    Raises:
        InputError: unreadable, or not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ctx, self.vocabulary, self.chunks = _header(path)
        windowing = Windowing.chunks(self.ctx)
        self._first = self.ctx - windowing.scored
        offset = HEADER.size + 4 * self.ctx * self.chunks
        shape = (self.chunks, windowing.scored, row_codes(self.vocabulary))
        if path.stat().st_size != offset + 2 * shape[0] * shape[1] * shape[2]:
            raise InputError(
                f"{path} does not have the size that its header announces; it may be truncated: "
                "save the base logits again"
            )
        shape_of_tokens = (self.chunks, self.ctx)
        self._tokens = np.memmap(path, "<i4", "r", HEADER.size, shape_of_tokens)
        self._rows = np.memmap(path, "<u2", "r", offset, shape)

    def windows(self, bos: int | None, limit: int | None = None) -> Iterator[Window]:
        """The chunks (at most `limit`), each beginning with BOS if the model wants it."""
        for number, row in enumerate(self._tokens[:limit]):
            tokens = row.tolist()
            if not 0 <= min(tokens) <= max(tokens) < self.vocabulary:
                raise InputError(f"{self.path} is damaged: chunk {number + 1} has no real tokens")
            start = tokens[0] if bos is None else bos
            yield Window(number, number * self.ctx, (start, *tokens[1:]), self._first, tokens[0])

    def begin(self) -> None:
        """Nothing is remembered between windows."""

    def rows(self, step: Step) -> Rows:
        """Log-probabilities for a step's targets."""
        parts = [self._rows[part.window.number, part.first : part.last] for part in step.parts]
        logs, floor = decode(np.concatenate(parts), self.vocabulary), -DEPTH
        own = logs[np.arange(len(logs)), list(step.targets)].astype(np.float64)
        tops = logs.argmax(1) if len(logs) else np.zeros(0, np.int64)
        nothing = np.zeros(len(logs))
        return Rows(logs, Scores(own, nothing.astype(np.int64), tops, nothing), floor)


def _header(path: Path) -> tuple[int, int, int]:
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise InputError(f"{path} is no file of base logits; make one with --save-logits")
    _, ctx, vocabulary, count = HEADER.unpack(head)
    if ctx < 4 or vocabulary < 1 or count < 1:
        raise InputError(
            f"{path} is damaged: it claims {count} chunks of {ctx} tokens, vocabulary {vocabulary}"
        )
    return ctx, vocabulary, count


def decode(rows: NDArray[np.uint16], vocabulary: int) -> Floats:
    """Log-probabilities, float32 [rows, vocabulary]."""
    scale, lowest = _scales(rows)
    codes = rows[:, HEAD : HEAD + vocabulary]
    out = codes.astype(np.float32)
    for i in range(len(out)):  # row by row, while it is in the cache
        out[i] *= scale[i]
        out[i] += lowest[i]
    return out


def _scales(rows: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Scale and lowest log-probability of each row, float32 [2, rows]."""
    return np.ascontiguousarray(rows[:, :HEAD]).view("<f4").T.astype(np.float32)


def encode(logits: Floats, log_sums: Doubles) -> NDArray[np.uint16]:
    """Rows as they stand in the file, uint16 [rows, row_codes(vocabulary)]."""
    count, vocabulary = logits.shape
    rows = np.zeros((count, row_codes(vocabulary)), "<u2")
    for logit, log_sum, row in zip(logits, log_sums, rows, strict=True):
        top = logit.max()
        low = max(logit.min(), np.float32(top - np.float32(DEPTH)))
        scale = np.float32((top - low) / np.float32(CODES))
        row[:HEAD] = np.array([scale, low - log_sum], "<f4").view("<u2")
        if scale > 0:
            codes = (logit - low) * (np.float32(1) / scale)
            row[HEAD : HEAD + vocabulary] = np.rint(np.clip(codes, 0, CODES))
    return rows


class BaseLogitsWriter:
    """Writes such a file while a model is evaluated.

    Args:
        file: to write to, from its beginning.
        windows: all of them, which the file wants first.
        vocabulary: logits per row.
    """

    def __init__(self, file: BinaryIO, windows: Sequence[Window], vocabulary: int) -> None:
        self._file = file
        file.write(HEADER.pack(MAGIC, len(windows[0].tokens), vocabulary, len(windows)))
        for window in windows:
            file.write(np.array(window.text_tokens, "<i4").tobytes())

    @property
    def listener(self) -> Callable[[Step, Rows], None]:
        """For `evaluate`: writes the rows of each step."""
        return lambda _, rows: self._write(rows)

    def _write(self, rows: Rows) -> None:
        self._file.write(encode(rows.logits, rows.scores.log_sums).tobytes())
