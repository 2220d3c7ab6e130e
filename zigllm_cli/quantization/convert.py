"""A tensor's bytes from the map to another type, piece by piece, on all cores.

Threads decode and encode pieces of rows; whoever iterates gets their bytes in order. A few pieces
are under way at a time, so memory does not depend on the model, and what has been read from the
map is let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.jit import Kernel
from zigllm_cli.quantization.decisions import Decision
from zigllm_cli.quantization.loss import Loss
from zigllm_cli.quantization.weights import Weights
from zigllm_cli.quants import dequantize
from zigllm_cli.quants.encoding import Encoder

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

PIECE = 1 << 18
"""Values of a piece: 1 MB as floats, which stay in the second-level cache."""

FORGET = 64 << 20
"""Bytes of the map that are let go at a time."""


class Converter:
    """Threads that encode.

    Args:
        threads: how many.
        measure: also decode what was encoded, and sum up what was lost.

    Attributes:
        losses: by tensor, once its chunks have been taken.
    """

    def __init__(self, threads: int, *, measure: bool = False) -> None:
        self.threads, self.measure = threads, measure
        self.losses: dict[str, Loss] = {}
        self._pool = ThreadPoolExecutor(threads, "quantize")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def in_order(self, calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Results of calls (function, *arguments), made by the threads, in order."""
        under_way: deque[Future[Any]] = deque()
        for call in calls:
            under_way.append(self._pool.submit(*call))
            if len(under_way) > 2 * self.threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def chunks(self, decision: Decision, importance: Floats | None) -> Iterator[Bytes]:
        """The new bytes of a tensor that changes its type.

        Args:
            importance: f32 [matrices, columns].

        Raises:
            InputError: values that are not finite or too large, named with the tensor.
        """
        tensor = decision.tensor
        encoders = encoders_of(decision, importance)
        read, forgotten, total = 0, 0, Loss()
        try:
            for source, out, loss in self.in_order(_calls(tensor, encoders, self.measure)):
                yield out.reshape(-1)
                total += loss
                read += source
                if read - forgotten >= FORGET:
                    tensor.forget(forgotten, read)
                    forgotten = read
        except InputError as error:
            raise InputError(f"tensor {tensor.name}: {error}") from None
        tensor.forget(forgotten, tensor.nbytes)
        if self.measure:
            self.losses[decision.name] = total


def encoders_of(decision: Decision, importance: Floats | None) -> list[Encoder]:
    """One encoder, or one per matrix where each has importance of its own."""
    columns, name = decision.tensor.row_length, decision.type.name
    if importance is None:
        return [Encoder(name, columns)]
    return [Encoder(name, columns, row) for row in importance]


def kernels_of(decision: Decision, importance: Floats | None) -> list[Kernel]:
    """What encoding a tensor needs compiled."""
    source = decision.tensor.type
    found = [encoder.kernel for encoder in encoders_of(decision, importance)[:1]]
    if source.is_quantized or source.name in ("F16", "BF16"):
        found.append(Kernel("dequantize", (source.name,)))
    return [kernel for kernel in found if kernel]


def _calls(tensor: Weights, encoders: list[Encoder], measure: bool) -> Iterator[tuple[Any, ...]]:
    """Pieces of rows, none of which has rows of two matrices."""
    rows = tensor.rows // len(encoders)
    step = max(PIECE // max(tensor.row_length, 1), 1)
    data = tensor.numpy()
    for number, encoder in enumerate(encoders):
        for first in range(0, rows, step):
            start = number * rows + first
            piece = data[start : start + min(step, rows - first)]
            yield _encode, tensor, piece, encoder, measure


def _encode(
    tensor: Weights, piece: Bytes, encoder: Encoder, measure: bool
) -> tuple[int, Bytes, Loss]:
    out = np.empty((len(piece), encoder.row_bytes), np.uint8)
    values, loss = floats(tensor, piece), Loss()
    encoder(values, out)
    if measure:
        decoded = dequantize(out, encoder.type.name, encoder.columns)
        loss = Loss.between(values, decoded, encoder.importance)
    return piece.nbytes, out, loss


def floats(tensor: Weights, piece: Bytes) -> Floats:
    """Rows of a tensor as floats; those of F32 as they lie in the map.

    Raises:
        UnsupportedError: a big-endian tensor.
    """
    if tensor.order != "<":
        raise UnsupportedError(
            f"{tensor.name} is big-endian, which is not quantized; convert the file first"
        )
    if tensor.type.name == "F32":
        return piece.view(np.float32)
    return dequantize(piece, tensor.type.name, tensor.row_length)
