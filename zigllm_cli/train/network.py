"""A model while it learns: its parameters, and gradients of a batch computed on several threads.

A batch is cut into shards by a rule that knows nothing of threads; each shard has a tape and
gradients of its own, which are summed in order. So the same seed gives the same bytes on any number
of threads. BLAS runs on one thread inside each shard (`single_threaded_blas`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from zigllm_cli.train.kernels.adamw import adamw, sum_gradients
from zigllm_cli.train.models import model
from zigllm_cli.train.parameters import Parameters
from zigllm_cli.train.settings import Settings
from zigllm_cli.train.shape import Shape
from zigllm_cli.train.tape import Tape
from zigllm_cli.train.values import Array, Value

MOST_SHARDS = 16
SHARD_TOKENS = 256
"""A shard has at least so many tokens: products of fewer wait more for Python than they compute."""

PIECE = 1 << 16
"""Parameters that one thread updates at a time."""

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """BLAS on one thread: shards are what runs in parallel, and sums keep their order."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def shards(batch: int, length: int) -> list[slice]:
    """Which sequences belong together: a power of two of parts, equal but for one sequence."""
    count = 1
    while 2 * count <= min(batch, MOST_SHARDS, batch * length // SHARD_TOKENS):
        count *= 2
    edges = [batch * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


class Network:
    """Parameters with what it takes to improve them.

    Attributes:
        parameters: where each one stands.
        flat: their values.
        first, second: Adam's running means of the gradient and of its square.
    """

    def __init__(
        self, shape: Shape, flat: Array, *, parameters: Parameters, threads: int = 1
    ) -> None:
        self.shape, self.parameters, self.flat = shape, parameters, flat
        self.model = model(shape.architecture)
        self.first, self.second = np.zeros_like(flat), np.zeros_like(flat)
        self._total = np.zeros_like(flat)
        self._parts = np.zeros((0, flat.size), flat.dtype)
        self._tapes: list[Tape] = []
        self._values: list[dict[str, Value]] = []
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @classmethod
    def fresh(cls, shape: Shape, seed: int, threads: int = 1, dtype: Any = np.float32) -> Network:
        """A model of random parameters."""
        parameters = Parameters(model(shape.architecture).tensors(shape))
        flat = parameters.initial(seed, dtype)
        return cls(shape, flat, parameters=parameters, threads=threads)

    def close(self) -> None:
        """End its threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return list((self._pool.map if self._pool else map)(function, items))

    def _prepare(self, count: int, *, training: bool) -> None:
        """A tape for each of so many shards, and memory for their gradients."""
        rows = count if training else 1
        if len(self._parts) < rows or len(self._values) < count:
            self._parts = np.zeros((max(rows, len(self._parts)), self.flat.size), self.flat.dtype)
            self._tapes += [Tape(self.flat.dtype) for _ in range(count - len(self._tapes))]
            self._values = [
                self._shard_values(self._parts[min(i, len(self._parts) - 1)])
                for i in range(len(self._tapes))
            ]

    def _shard_values(self, gradients: Array) -> dict[str, Value]:
        """All parameters as a shard sees them, with the places of its gradients."""
        return self.parameters.values(self.flat, gradients)

    # -------------------------------------------------------------- passes

    def learn(
        self, tokens: Array, targets: Array, *, factor: float, dropout: float, key: int, more: bool
    ) -> float:
        """The gradient of `factor` times the summed loss; returns that sum without the factor.

        Args:
            tokens, targets: [B, T]; targets below 0 do not count.
            key: settles what dropout drops.
            more: add to the gradient that is there.
        """
        cuts = shards(*tokens.shape)
        self._prepare(len(cuts), training=True)

        def work(index: int) -> float:
            tape, values, cut = self._tapes[index], self._values[index], cuts[index]
            for value in values.values():
                value.has_grad = False
                if value.frozen:
                    value.grad = None  # it stood in a buffer that serves another value now
            tape.begin(training=True, dropout=dropout, key=key * MOST_SHARDS + index)
            logits = self.model.forward(tape, values, self.shape, tokens[cut])
            losses = tape.cross_entropy(logits, targets[cut].ravel(), factor)
            tape.backward()
            return float(losses.sum(dtype=np.float64))

        total = sum(self._map(work, range(len(cuts))))
        self._sum(len(cuts), more)
        return total

    def losses(self, tokens: Array, targets: Array) -> Array:
        """-ln p of every target [B, T], in float64; 0 where it does not count."""
        cuts = shards(*tokens.shape)
        self._prepare(len(cuts), training=False)

        def work(index: int) -> Array:
            logits = self._logits(index, tokens[cuts[index]])
            found = self._tapes[index].cross_entropy(logits, targets[cuts[index]].ravel())
            return found.astype(np.float64).reshape(-1, tokens.shape[1])

        return np.concatenate(self._map(work, range(len(cuts))))

    def logits(self, tokens: Array) -> Array:
        """Of sequences [B, T]: [B, T, vocabulary]."""
        self._prepare(1, training=False)
        found: Array = self._logits(0, tokens).data.reshape(*tokens.shape, -1).copy()
        return found

    def _logits(self, index: int, tokens: Array) -> Any:
        self._tapes[index].begin(training=False)
        return self.model.forward(self._tapes[index], self._values[index], self.shape, tokens)

    def warm_up(self, tokens: Array, targets: Array, dropout: float) -> None:
        """Compile or load all kernels: a pass whose results nobody uses, and a step of nothing."""
        self.learn(tokens, targets, factor=1.0, dropout=dropout, key=0, more=False)
        nothing = (np.zeros(1, self.flat.dtype) for _ in range(4))
        adamw(*nothing, 0.0, 0.9, 0.9, 1e-8, 0.0, 1.0, 1.0)

    # -------------------------------------------------------------- the step

    def _pieces(self) -> list[tuple[slice, bool]]:
        """Parts of the parameters, and whether weight decay pulls at them."""
        edges = (0, self.parameters.decaying, self.flat.size)
        return [
            (slice(start, min(start + PIECE, edges[part + 1])), part == 0)
            for part in range(2)
            for start in range(edges[part], edges[part + 1], PIECE)
        ]

    def _sum(self, count: int, more: bool) -> None:
        parts = self._parts[:count]

        def work(piece: tuple[slice, bool]) -> float:
            return float(sum_gradients(parts[:, piece[0]], self._total[piece[0]], more))

        self._squares = sum(self._map(work, self._pieces()))

    @property
    def gradient(self) -> Array:
        """The gradient of the last passes."""
        return self._total

    @property
    def norm(self) -> float:
        """Length of the gradient."""
        return float(np.sqrt(self._squares))

    def step(self, s: Settings, number: int, rate: float) -> None:
        """AdamW's step, the first being number 1, with the gradient clipped to `s.clip`."""
        factor = min(1.0, s.clip / (self.norm + 1e-6)) if s.clip else 1.0

        def work(piece: tuple[slice, bool]) -> None:
            arrays = (self.flat, self._total, self.first, self.second)
            decay = s.weight_decay if piece[1] else 0.0
            adamw(
                *(array[piece[0]] for array in arrays),
                *(rate, s.beta1, s.beta2, s.adam_epsilon, decay, float(number), factor),
            )

        self._map(work, self._pieces())
