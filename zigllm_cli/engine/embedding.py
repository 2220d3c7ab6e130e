"""Texts to vectors: many of them in one step, whatever their lengths.

    embeddings = Embeddings(file, tokenizer)
    embeddings.vectors([embeddings.text_ids("hello"), [101, 2088, 102]])   # two float32 [width]

Texts of different lengths stand in a step one behind the other, each in a slot of its own, so
nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zigllm_cli.engine.batch import Batch
from zigllm_cli.engine.pooling import MEANS, RankHead, check_pooling, means, pooling_of, rows_needed
from zigllm_cli.engine.runner import Progress, Runner
from zigllm_cli.engine.session import check_ids
from zigllm_cli.errors import UsageError
from zigllm_cli.jit import Kernel, compile_missing
from zigllm_cli.models import architecture

if TYPE_CHECKING:
    from zigllm_cli.gguf import GGUFFile
    from zigllm_cli.tokenizers import Tokenizer

Floats = NDArray[np.float32]
Ids = Sequence[int]

TEXTS = 32
"""Texts of a step at most."""

TOKENS = 1024
"""Tokens of a step, unless a single text is longer."""


class Embedder:
    """A model that is asked for hidden states.

    Args:
        longest: tokens of the longest text that it will be given.

    Attributes:
        width: floats of a vector.
        context: tokens of a text at most.
    """

    def __init__(
        self,
        file: GGUFFile,
        *,
        longest: int,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.runner = Runner(
            file,
            threads=threads,
            context=longest,
            kv_type="f32",
            sequences=TEXTS,
            batch=TOKENS,
            output="hidden",
            progress=progress,
        )
        compile_missing([MEANS], progress)
        self.context, self.width = longest, self.runner.width
        self._file = file

    def embed(
        self, texts: Sequence[Ids], pooling: str, done: Callable[[int], None] | None = None
    ) -> list[Floats]:
        """What `pooling` makes of each text, in their order.

        Args:
            texts: token ids, each text at least one and at most `context`.
            done: told how many texts of a step are ready.

        Returns:
            float32 [width] for each text; [tokens, width] for "none", [outputs] for "rank".
        """
        head = None
        if pooling == "rank":
            head = RankHead(self._file, self.width, causal=self.runner.plan.causal)
            pooling = head.pooling
        results: list[Floats] = []
        for group in self._groups(texts):
            results += self._step(group, pooling)
            if done is not None:
                done(len(group))
        if head is None or not results:
            return results
        return list(head.scores(np.stack(results)))

    def _groups(self, texts: Sequence[Ids]) -> Iterator[list[Ids]]:
        """Texts that share a step."""
        group: list[Ids] = []
        tokens = 0
        for text in texts:
            if group and (len(group) == TEXTS or tokens + len(text) > self.runner.batch):
                yield group
                group, tokens = [], 0
            group.append(text)
            tokens += len(text)
        if group:
            yield group

    def _step(self, texts: list[Ids], pooling: str) -> list[Floats]:
        batch, counts = Batch([], [], [], []), []
        for slot, text in enumerate(texts):
            self.runner.truncate(slot, 0)
            start, rows = len(batch), rows_needed(pooling, len(text))
            batch.tokens += text
            batch.positions += range(len(text))
            batch.sequences += [slot] * len(text)
            batch.outputs += [start + row for row in rows]
            counts.append(len(rows))
        in_one = len(batch) <= self.runner.batch
        states = self.runner.step_in_place(batch) if in_one else self.runner.step(batch)
        ends = np.cumsum(counts, dtype=np.int64)
        if pooling == "none":
            return np.split(states.copy(), ends[:-1])
        return list(means(states, ends))

    def close(self) -> None:
        """End the worker threads."""
        self.runner.close()


class Embeddings:
    """A model's embeddings; the engine is opened for the texts that come, and kept.

    Args:
        longest: tokens of a text at most; None for what the model was trained to read.
    """

    def __init__(
        self,
        file: GGUFFile,
        tokenizer: Tokenizer,
        *,
        longest: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._file, self._tokenizer = file, tokenizer
        self._threads, self._progress = threads, progress
        self.longest = longest or architecture(file).context_length
        self._embedder: Embedder | None = None

    @property
    def width(self) -> int:
        """Floats of a vector."""
        return self._opened(1).width

    @property
    def pooling(self) -> str:
        """What the file says, or else mean."""
        return pooling_of(self._file) or "mean"

    def text_ids(self, text: str) -> list[int]:
        """The tokens of a text: with the special ones around it."""
        return self._tokenizer.encode(text)

    def pair_ids(self, query: str, text: str) -> list[int]:
        """The tokens that a reranker reads of a query and a text.

        The file's template of the name `rerank`, or else [BOS] query [EOS] [SEP] text [EOS] as far
        as the file asks for these tokens (BERT: [CLS] query [SEP] text [SEP]).
        """
        tokenizer = self._tokenizer
        template = self._file.metadata.get("tokenizer.chat_template.rerank")
        if isinstance(template, str):
            filled = template.replace("{query}", query).replace("{document}", text)
            return tokenizer.encode(filled, add_special=False, parse_special=True)
        first = tokenizer.encode(query, add_special=False)
        second = tokenizer.encode(text, add_special=False)
        between = list(tokenizer.suffix)
        if tokenizer.add_eos and tokenizer.add_sep:
            between.append(tokenizer.vocabulary.special["sep"])
        return [*tokenizer.prefix, *first, *between, *second, *tokenizer.suffix]

    def vectors(
        self,
        texts: Iterable[Ids],
        pooling: str | None = None,
        done: Callable[[int], None] | None = None,
    ) -> list[Floats]:
        """See `Embedder.embed`; without a pooling it is the file's.

        Raises:
            UsageError: no such pooling, or a text is empty or longer than the model reads.
            UnsupportedError: "rank", and the model is no reranker.
        """
        texts = list(texts)
        pooling = check_pooling(pooling or self.pooling)
        for number, ids in enumerate(texts, 1):
            if not 1 <= len(ids) <= self.longest:
                raise UsageError(
                    f"text {number} has {len(ids)} tokens, but the model reads from 1 to"
                    f" {self.longest}"
                )
        embedder = self._opened(max(map(len, texts), default=1))
        for ids in texts:
            check_ids(ids, embedder.runner.vocabulary)
        return embedder.embed(texts, pooling, done)

    def kernels(self) -> list[Kernel]:
        """Every kernel that embedding can need."""
        return [*self._opened(1).runner.kernels(), MEANS]

    def _opened(self, longest: int) -> Embedder:
        """The engine, with room for texts of so many tokens."""
        room = min(1 << (max(longest, 64) - 1).bit_length(), self.longest)
        if self._embedder is None or self._embedder.context < room:
            if self._embedder is not None:
                self._embedder.close()
            self._embedder = None  # its memory is free before the next one is made
            self._embedder = Embedder(
                self._file, longest=room, threads=self._threads, progress=self._progress
            )
        return self._embedder
