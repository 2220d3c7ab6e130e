"""A model that runs: its plan lowered, its threads, its cache; one `step` per batch of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.threads import default_threads
from zigllm_cli.engine.workers import KERNELS, Workers
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.jit import Kernel, address, compile_missing
from zigllm_cli.kernels import state as words
from zigllm_cli.models import architecture
from zigllm_cli.models.adapters import changes
from zigllm_cli.plan.adapters import adapt
from zigllm_cli.plan.cache import Cache
from zigllm_cli.plan.lowering import Call, Lowering, Mode
from zigllm_cli.plan.memory import address as memory_address
from zigllm_cli.plan.plan import Plan

Progress = Callable[[int, int], None]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Table:
    """A lowered plan as kernels read it.

    Attributes:
        rows: int64 [calls, 3]: kernel, arguments, barrier.
        arguments: what the rows point into.
        calls: what each row is.
    """

    rows: NDArray[np.int64]
    arguments: NDArray[np.int64]
    calls: tuple[Call, ...]

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Table:
        """Kernels compiled and loaded, arguments laid out."""
        calls = tuple(calls)
        starts = np.cumsum([0, *(len(call.words) for call in calls)])
        arguments = np.array([word for call in calls for word in call.words], np.int64)
        base = memory_address(arguments)
        rows = np.array(
            [
                (address(call.kernel), base + 8 * int(start), int(call.barrier))
                for call, start in zip(calls, starts, strict=False)
            ],
            np.int64,
        )
        return cls(rows, arguments, calls)


@dataclass(frozen=True)
class OperationTime:
    """One operation of a profiled step.

    Attributes:
        label: the tensor or the kind of operation.
        detail: type and shape, or nothing.
        seconds: from barrier to barrier.
        bytes: of weights read.
        macs: multiply-adds.
    """

    label: str
    detail: str
    seconds: float
    bytes: int
    macs: int


class Runner:
    """Runs a model.

    Args:
        output: "logits", or "hidden" for the last hidden states, which embeddings are made of.

    Attributes:
        vocabulary: token ids are below it.
        width: floats per row of a step's result.
        context: positions per sequence.
        sequences: slots of the cache.
        batch: most tokens per step.
        threads: that run a step.
    """

    def __init__(
        self,
        file: GGUFFile,
        *,
        threads: int | None = None,
        context: int | None = None,
        kv_type: str = "f16",
        sequences: int = 1,
        batch: int = 512,
        output: str = "logits",
        progress: Progress | None = None,
    ) -> None:
        self.file = file
        self.model = architecture(file)
        self.vocabulary = self.model.vocabulary
        self.context = context or self.model.context_length
        self.sequences, self.batch = sequences, min(batch, self.context * sequences)
        self.threads = threads or default_threads()
        self.plan = self._plan(output)
        self.width = self.plan.result.width
        if not self.plan.causal:
            self.batch = max(self.batch, self.context)
        self.cache = Cache(self.model.layers, self.context, sequences, kv_type)
        self.lowering = Lowering(self.plan, self.cache, self.batch, self.threads)
        self._tables: dict[tuple[Mode, Mode | None], Table] = {}
        self._ids, self._positions, self._slots, self._ends, self._chosen = (
            np.zeros(self.batch, np.int64) for _ in range(5)
        )
        self._bind_state()
        self._progress = progress
        compile_missing(KERNELS, progress)
        self.workers = Workers(self.threads)

    def _plan(self, output: str) -> Plan:
        plan = self.model.plan(self.context)
        adapt(plan, changes(self.file))
        if output == "hidden":
            return plan.without_logits()
        if plan.logits is None:
            raise UnsupportedError(
                f"{self.file.architecture} is an encoder: it embeds texts and does not go on with"
                " them; use zigllm embed"
            )
        return plan

    def _bind_state(self) -> None:
        columns = {
            words.IDS: self._ids,
            words.POSITIONS: self._positions,
            words.SEQUENCES: self._slots,
            words.ENDS: self._ends,
            words.OUTPUT_TOKENS: self._chosen,
        }
        for word, array in columns.items():
            self.lowering.state[word] = self.lowering.head_state[word] = memory_address(array)

    @property
    def memory(self) -> dict[str, int]:
        """Bytes by use: weights in the file, cache at full context, buffers."""
        weights = sum(tensor.nbytes for tensor in self.file.tensors.values())
        return {
            "weights": weights,
            "cache": self.cache.nbytes,
            "buffers": self.lowering.buffers.nbytes,
        }

    # -------------------------------------------------------------- steps

    def step(self, batch: Batch) -> Floats:
        """Evaluate tokens; their keys and values join the cache.

        An encoder wants all tokens of a sequence in one step, and no more of them than `batch`.

        Returns:
            float32 [outputs, width], a copy, in the order of `batch.outputs`.
        """
        self._check(batch)
        results = []
        outputs = set(batch.outputs)
        for first in range(0, len(batch.tokens), self.batch):
            last = min(first + self.batch, len(batch.tokens))
            chosen = [i - first for i in range(first, last) if i in outputs]
            results.append(self._step(batch, first, last, chosen).copy())
        logits = np.concatenate(results) if len(results) > 1 else results[0]
        order = sorted(range(len(batch.outputs)), key=batch.outputs.__getitem__)
        if order != list(range(len(order))):
            logits = logits[np.argsort(order)]
        return logits

    def step_in_place(self, batch: Batch) -> Floats:
        """`step` without the copy, for at most `self.batch` tokens and ascending outputs.

        Returns:
            float32 [outputs, vocabulary] in the engine's own memory, until the next step.
        """
        self._check(batch)
        assert len(batch) <= self.batch, "larger batches go through `step`"
        return self._step(batch, 0, len(batch), batch.outputs)

    def _check(self, batch: Batch) -> None:
        if not batch.tokens:
            raise InputError("there is no token to evaluate")
        if not 0 <= min(batch.tokens) <= max(batch.tokens) < self.vocabulary:
            bad = next(t for t in batch.tokens if not 0 <= t < self.vocabulary)
            raise InputError(f"token {bad} is not in the vocabulary of {self.vocabulary}")
        if max(batch.positions) >= self.context:
            raise InputError(
                f"position {max(batch.positions)} is beyond the context of {self.context}"
            )
        if not self.plan.causal and len(batch.tokens) > self.batch:
            raise InputError(
                f"{len(batch.tokens)} tokens exceed the {self.batch} of a step, and an encoder"
                " reads a text whole"
            )
        self.cache.check_positions(batch.sequences, batch.positions)

    def _step(self, batch: Batch, first: int, last: int, chosen: list[int]) -> Floats:
        table = self._load(batch, first, last, chosen)
        self.cache.begin(batch.sequences[first:last])
        self.workers.run(memory_address(table.rows), len(table.calls))
        self.cache.extend(batch.sequences[first:last], batch.positions[first:last])
        return self._result(len(chosen))

    def _load(self, batch: Batch, first: int, last: int, chosen: list[int]) -> Table:
        """Fill the state for a step and choose the table that fits it."""
        count = last - first
        self._ids[:count] = batch.tokens[first:last]
        self._positions[:count] = batch.positions[first:last]
        self._slots[:count] = batch.sequences[first:last]
        self._ends[:count] = self._positions[:count] + 1
        if not self.plan.causal:
            self._see_whole_sequences(count)
        self._chosen[: len(chosen)] = chosen
        state, head = self.lowering.state, self.lowering.head_state
        state[words.TOKENS], state[words.OUTPUTS] = count, len(chosen)
        head[words.TOKENS] = len(chosen)
        table = self._table(Mode.of(count), Mode.of(len(chosen)) if chosen else None)
        self.lowering.rope.fill(int(self._positions[:count].max()) + 1)
        return table

    def _table(self, mode: Mode, head_mode: Mode | None) -> Table:
        if (mode, head_mode) not in self._tables:
            calls = self.lowering.lower(mode, head_mode)
            compile_missing([call.kernel for call in calls], self._progress)
            self._tables[mode, head_mode] = Table.of(calls)
        return self._tables[mode, head_mode]

    def _see_whole_sequences(self, count: int) -> None:
        """Every token sees up to the last one of its sequence."""
        ends = np.zeros(self.sequences, np.int64)
        np.maximum.at(ends, self._slots[:count], self._ends[:count])
        self._ends[:count] = ends[self._slots[:count]]

    def _result(self, count: int) -> Floats:
        if not count:
            return np.empty((0, self.width), np.float32)
        block = self.lowering.buffers.block(self.plan.result.name)
        rows: Floats = block[: 4 * self.width * count].view(np.float32).reshape(count, self.width)
        return rows

    def hidden(self, count: int) -> Floats:
        """The last hidden states, normed, of the first `count` outputs of the last step.

        Returns:
            float32 [count, embedding length], a copy.
        """
        assert self.plan.hidden is not None
        block = self.lowering.buffers.block(self.plan.hidden.name)
        width = self.plan.hidden.width
        return block[: 4 * width * count].view(np.float32).reshape(count, width).copy()

    # -------------------------------------------------------------- the cache, slot by slot

    def length(self, sequence: int) -> int:
        """Cached positions of a slot."""
        return self.cache.lengths[sequence]

    def truncate(self, sequence: int, length: int) -> None:
        """Forget positions from `length` on; all of them if the model is recurrent."""
        self.cache.truncate(sequence, length)

    def copy(self, source: int, target: int) -> None:
        """Make one slot hold what another holds."""
        self.cache.copy(source, target)

    def shift(self, sequence: int, keep: int, drop: int) -> None:
        """Drop positions keep..keep+drop; later ones move down and are rotated to match."""
        self.cache.shift(sequence, keep, drop, self.plan.rotations)

    def state(self, sequence: int) -> bytes:
        """Keys and values of a slot."""
        return self.cache.state(sequence)

    def restore(self, sequence: int, state: bytes) -> None:
        """Put back what `state` gave."""
        self.cache.restore(sequence, state)

    # -------------------------------------------------------------- looking inside

    def kernels(self) -> list[Kernel]:
        """Every kernel that this model can need."""
        modes = [(body, head) for body in Mode for head in Mode]
        calls = [call for pair in modes for call in self.lowering.lower(*pair)]
        return sorted({call.kernel for call in calls} | set(KERNELS))

    def profile(self, batch: Batch) -> list[OperationTime]:
        """Run one step (which joins the cache as any other) and time each operation."""
        self._check(batch)
        count = len(batch.tokens)
        if count > self.batch:
            raise InputError(f"a profiled step has at most {self.batch} tokens, not {count}")
        table = self._load(batch, 0, count, list(batch.outputs))
        times = np.zeros((len(table.calls) + 1, 2), np.int64)
        self.cache.begin(batch.sequences)
        self.workers.run(memory_address(table.rows), len(table.calls), memory_address(times))
        self.cache.extend(batch.sequences, batch.positions)
        seconds = times[:, 0] + times[:, 1] * 1e-9
        heads = len(batch.outputs)
        return [
            OperationTime(
                call.label,
                call.detail,
                float(after - before),
                call.weight_bytes,
                call.macs * (heads if call.is_head else count),
            )
            for call, (before, after) in zip(table.calls, pairwise(seconds), strict=True)
        ]

    def close(self) -> None:
        """End the worker threads."""
        self.workers.close()
