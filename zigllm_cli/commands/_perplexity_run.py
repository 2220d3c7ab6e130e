"""Perplexity of a text: from what was asked for to sums, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from zigllm_cli.atomic import atomic_file
from zigllm_cli.catalog import resolve
from zigllm_cli.commands._engine import EngineRequest, open_model
from zigllm_cli.commands._options import chosen_model
from zigllm_cli.commands._perplexity_progress import Progress
from zigllm_cli.commands._perplexity_rules import Cut
from zigllm_cli.commands._perplexity_source import Source, prepared
from zigllm_cli.commands._perplexity_state import State
from zigllm_cli.evaluate.base_logits import BaseLogits, BaseLogitsWriter, is_base_logits
from zigllm_cli.evaluate.chunks import Chunk
from zigllm_cli.evaluate.evaluator import Base, Contender, evaluate
from zigllm_cli.evaluate.records import RecordWriter
from zigllm_cli.evaluate.token_file import token_file
from zigllm_cli.evaluate.totals import Totals
from zigllm_cli.evaluate.windows import Window

if TYPE_CHECKING:
    from zigllm_cli.cluster import Cluster
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.model import Model

UNIT = 4
"""Windows that a worker of a cluster gets at a time."""


@dataclass(frozen=True)
class Task:
    """What to evaluate, and what to keep of it.

    Attributes:
        request: the model and its engine.
        text: the file; None for standard input, or where base logits bring the tokens.
        cut: into windows.
        base: model or file of base logits to compare with.
        shard: which one, from 1, of how many.
        per_token: where each token's figures go.
        state: the record that is gone on with.
        part: where the record goes at the end.
        save_logits: where the log-probabilities go.
        cluster: where to work; None for here.
    """

    request: EngineRequest
    text: Path | None
    cut: Cut
    base: str | None = None
    shard: tuple[int, int] = (1, 1)
    per_token: Path | None = None
    state: Path | None = None
    part: Path | None = None
    save_logits: Path | None = None
    cluster: Cluster | None = None


@dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        name: of the model.
        windows: how the text was cut.
        totals: of the chunks.
        file: of the model; None for merged records.
        rate: tokens per second of the chunks that were not known before; None for none.
    """

    name: str
    windows: str
    totals: Totals
    file: GGUFFile | None = None
    rate: float | None = None


def run(task: Task) -> Outcome:
    """Evaluate a text.

    Raises:
        InputError: an input cannot be read, is too short, or does not fit the others.
    """
    model = open_model(task.request)
    source = Source(task, model)
    totals, windows = Totals(), source.windows()
    sinks: list[Callable[[Chunk], None]] = [totals.add]
    records: list[RecordWriter] = []
    with ExitStack() as stack:
        if task.per_token is not None:
            sinks.append(stack.enter_context(token_file(task.per_token, model.tokenizer)).add)
        if task.part is not None:
            records.append(
                RecordWriter(stack.enter_context(atomic_file(task.part)), source.subject)
            )
            sinks.append(records[0].add)
        if task.state is not None:
            state = State(task.state, source.subject)
            _take(state.known(windows), sinks)
            writer = stack.enter_context(state.writer())
            sinks.append(writer.add)
            records += [] if state.is_finished else [writer]
        progress = Progress(source.extent, totals)
        stack.callback(progress.close)
        sinks.append(lambda _: progress.update())
        work = _Work(task, model, source, progress)
        _take(work.chunks(windows, stack), sinks)
        for record in records:
            record.end(source.count)
    name, windows_name = str(model.file.path), source.subject.windows
    return Outcome(name, windows_name, totals, model.file, work.rate)


def _take(chunks: Iterator[Chunk], sinks: Sequence[Callable[[Chunk], None]]) -> None:
    for chunk in chunks:
        for sink in sinks:
            sink(chunk)


class _Work:
    """Evaluates windows and knows how fast.

    Attributes:
        rate: tokens per second; None before there were any.
    """

    def __init__(self, task: Task, model: Model, source: Source, progress: Progress) -> None:
        self._task, self._model, self._source = task, model, source
        self._progress = progress
        self.rate: float | None = None

    def chunks(self, windows: Iterator[Window], stack: ExitStack) -> Iterator[Chunk]:
        """The figures of windows, in order; what it opens is closed by `stack`."""
        first = list(islice(windows, 1))
        if not first:
            return
        tokens = 0

        def counted() -> Iterator[Window]:
            nonlocal tokens
            for window in chain(first, windows):
                tokens += len(window.tokens)
                yield window

        yield from self._spread(counted()) if self._task.cluster else self._here(counted(), stack)
        seconds = perf_counter() - self._progress.started
        self.rate = tokens / seconds if seconds else None

    def _here(self, windows: Iterator[Window], stack: ExitStack) -> Iterator[Chunk]:
        task, length = self._task, self._source.length
        contender = Contender(self._model, length)
        stack.callback(contender.close)
        base = open_base(task, self._source.base_logits, length)
        running = [contender, *([base] if isinstance(base, Contender) else [])]
        listen = None
        if task.save_logits is not None:
            whole = list(windows)
            windows = iter(whole)
            file = stack.enter_context(atomic_file(task.save_logits))
            listen = BaseLogitsWriter(file, whole, contender.vocabulary).listener
        windows = prepared(windows, running, self._progress)
        keep = task.per_token is not None
        for (chunk,) in evaluate(windows, [contender], base, keep_tokens=keep, listen=listen):
            yield chunk

    def _spread(self, windows: Iterator[Window]) -> Iterator[Chunk]:
        from zigllm_cli.cluster import spread

        task = self._task
        assert task.cluster is not None
        model = str(resolve(chosen_model(task.request.model)).absolute())
        base = task.base and str(resolve(task.base).absolute())
        portable = replace(
            task, request=replace(task.request, model=model), base=base, text=None, cluster=None
        )
        make = partial(_worker, portable, self._source.length)
        units = iter(lambda: list(islice(windows, UNIT)), [])
        self._progress.begin()
        for chunks in spread(task.cluster, make, units):
            yield from chunks


def _worker(task: Task, length: int, threads: int) -> Callable[[list[Window]], list[Chunk]]:
    """What a machine of a cluster does with its windows."""
    contender = Contender(open_model(replace(task.request, threads=threads)), length)
    base = open_base(task, None, length)
    keep = task.per_token is not None

    def work(windows: list[Window]) -> list[Chunk]:
        return [chunk for (chunk,) in evaluate(windows, [contender], base, keep_tokens=keep)]

    return work


def open_base(task: Task, logits: BaseLogits | None, length: int) -> Base | None:
    """What a task compares with; a base model runs as the model does."""
    if task.base is None or logits is not None:
        return logits
    path = resolve(task.base)
    if is_base_logits(path):
        return BaseLogits(path)
    request = EngineRequest(str(path), threads=task.request.threads, kv_type=task.request.kv_type)
    return Contender(open_model(request), length)
