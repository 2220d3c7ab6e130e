"""Where the windows of an evaluation come from, and what says that two evaluations are the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from zigllm_cli.catalog import resolve
from zigllm_cli.commands._engine import prepare
from zigllm_cli.commands._perplexity_progress import Extent, Progress
from zigllm_cli.engine.fingerprint import fingerprint
from zigllm_cli.errors import UsageError, unreadable
from zigllm_cli.evaluate.base_logits import BaseLogits, is_base_logits
from zigllm_cli.evaluate.evaluator import Contender
from zigllm_cli.evaluate.records import Subject
from zigllm_cli.evaluate.steps import steps
from zigllm_cli.evaluate.text import BLOCK, TokenStream
from zigllm_cli.evaluate.windows import Window, Windowing, shard_of
from zigllm_cli.gguf import open_gguf

if TYPE_CHECKING:
    from zigllm_cli.commands._perplexity_run import Task
    from zigllm_cli.model import Model


@dataclass(frozen=True)
class Text:
    """An opened text: the file, its name and its size if it has one."""

    file: BinaryIO
    name: str
    size: int | None

    @classmethod
    def open(cls, path: Path | None) -> Text:
        """A file, or standard input for None and "-".

        Raises:
            InputError: it cannot be read.
            UsageError: there is none.
        """
        if path is None or str(path) == "-":
            if sys.stdin.isatty():
                raise UsageError("no text: give a file, or text through a pipe")
            return cls(sys.stdin.buffer, "standard input", None)
        try:
            file = path.open("rb")
            size = path.stat().st_size
        except OSError as error:
            raise unreadable(path, error) from None
        return cls(file, str(path), size or None)


class Source:
    """The windows of a task.

    Attributes:
        subject: what is evaluated.
        extent: how much it is.
        base_logits: the saved logits that bring the tokens and are the base; None without.
        count: windows of the text so far, those of other shards included.
    """

    def __init__(self, task: Task, model: Model) -> None:
        self._task = task
        prefix = model.tokenizer.prefix
        self._bos = prefix[0] if prefix else None
        self.count = 0
        self.base_logits: BaseLogits | None = None
        self._stream: TokenStream | None = None
        self._windowing, limit = task.cut.windowing(model.file), task.cut.limit
        base = None if task.base is None else Path(task.base)
        if base is not None and base.is_file() and is_base_logits(base):
            self.base_logits = BaseLogits(base)
            self._windowing = Windowing.chunks(self.base_logits.ctx)
            limit = min(limit or sys.maxsize, self.base_logits.chunks)
            text, size, digest = "base logits", None, _digest(base)
        else:
            opened = Text.open(task.text)
            self._stream = TokenStream(model.tokenizer, opened.file)
            text, size, digest = self._stream.digest, opened.size, None
            if task.base is not None:
                digest = fingerprint(open_gguf(resolve(task.base))).hex()
        shard, shards = task.shard
        self.extent = Extent(self._windowing.step, limit, shards, self._stream, size)
        self.subject = Subject(
            model=fingerprint(model.file).hex(),
            name=model.file.path.name,
            text=text,
            windows=self._windowing.name,
            limit=task.cut.limit,
            kv_type=task.request.kv_type,
            base=digest,
            tokens=task.per_token is not None,
            shard=(shard, shards),
        )

    @property
    def length(self) -> int:
        """Most tokens of a window."""
        return self._windowing.length

    def windows(self) -> Iterator[Window]:
        """Those of this shard."""
        return shard_of(self._counted(), *self._task.shard)

    def _counted(self) -> Iterator[Window]:
        limit = self._task.cut.limit
        if self.base_logits is not None:
            windows = self.base_logits.windows(self._bos, limit)
        else:
            assert self._stream is not None
            windows = self._windowing.windows(self._stream, self._bos, limit)
        for window in windows:
            self.count += 1
            yield window


def prepared(
    windows: Iterator[Window], contenders: Sequence[Contender], progress: Progress
) -> Iterator[Window]:
    """The same windows; before the first one, kernels are compiled and the clock starts."""
    is_first = True
    for window in windows:
        if is_first:
            for contender in contenders:
                batch = contender.runner.batch
                sizes = {(len(step.batch), len(step.targets)) for step in steps([window], batch)}
                prepare(contender.runner, sizes)
            progress.begin()
            is_first = False
        yield window


def _digest(path: Path) -> str:
    """Of a file's size and first block."""
    with path.open("rb") as file:
        digest = blake2b(file.read(BLOCK), digest_size=16)
    digest.update(str(path.stat().st_size).encode("ascii"))
    return digest.hexdigest()
