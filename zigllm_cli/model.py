"""`load`: a model from a file, as the Python API gives it out.

model = load("model.gguf")
model.tokenizer.encode("Hello")             # needs no numba
for piece in model.generate("Once upon"):   # builds the engine
    print(piece, end="", flush=True)
model.logits([1, 2, 3])                     # float32 [3, vocabulary]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

from zigllm_cli.catalog import resolve
from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import GGUFFile, open_gguf
from zigllm_cli.tokenizers import Tokenizer, from_metadata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zigllm_cli.engine.drafting import Drafter
    from zigllm_cli.engine.embedding import Embeddings
    from zigllm_cli.engine.generation import Generation
    from zigllm_cli.engine.runner import Runner
    from zigllm_cli.engine.session import Session, Slots
    from zigllm_cli.models.adapters import Spec
    from zigllm_cli.sampling import Sampler, Sampling

SEQUENCES = 8
"""Sessions of a model that can be open at a time, forks included."""

STEP = 256
"""`logits` without a context of its own opens one of a multiple of this, as llama.cpp does."""


@dataclass(frozen=True)
class EngineOptions:
    """How the engine of a model is opened.

    Attributes:
        threads: None for what suits the machine.
        ctx: positions per sequence; None for the trained length.
        kv_type: of the cache.
        progress: told (done, all) while kernels are compiled.
    """

    threads: int | None = None
    ctx: int | None = None
    kv_type: str = "f16"
    progress: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("ctx", self.ctx)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, but must be 1 or more")


class Model:
    """An opened model; parts are built when first used.

    Attributes:
        file: metadata and tensors.
        options: how its engine is opened.
    """

    def __init__(self, file: GGUFFile, options: EngineOptions | None = None) -> None:
        if file.metadata.get("general.type") == "adapter":
            raise UsageError(
                f"{file.path} is an adapter, not a model: give it to its model with --lora"
            )
        self.file = file
        self.options = options or EngineOptions()
        self._engines: dict[int | None, tuple[Runner, Slots]] = {}
        self._exact: Runner | None = None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Text to token ids and back."""
        return from_metadata(self.file.metadata)

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        constraint: Sampler | None = None,
        **settings: Any,
    ) -> Generation:
        """Go on from a prompt: an iterator over pieces of text.

        It ends with an end token, a stop string, `max_tokens`, or a full context; its
        `finish_reason`, `ids` and `timings` say more. Control tokens in the prompt's text are
        recognised.

        Args:
            prompt: text, or token ids.
            stop: texts that end it, and are not given out.
            constraint: what the text must be like (`zigllm_cli.grammar`).
            settings: fields of `Sampling`, such as temperature, top_p or seed; where nothing is
                said, what the model's file recommends, or the default.
        """
        from zigllm_cli.sampling import settle

        sampling = settle(settings, metadata=self.file.metadata)
        ids = self.prompt_ids(prompt) if isinstance(prompt, str) else list(prompt)
        start = perf_counter()
        session = self.session()
        load = perf_counter() - start
        return self.continue_from(
            session,
            ids,
            sampling,
            max_tokens=max_tokens,
            stop=as_stops(stop),
            constraint=constraint,
            load=load,
        )

    def continue_from(
        self,
        session: Session,
        ids: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        keep: int | None = None,
        constraint: Sampler | None = None,
        drafter: Drafter | None = None,
        load: float = 0.0,
    ) -> Generation:
        """`generate` with everything in the caller's hands; see `Generation`."""
        from zigllm_cli.engine.generation import Continuation, Generation
        from zigllm_cli.sampling import chain_for

        chain = chain_for(self.tokenizer, sampling, prompt=len(ids), constraint=constraint)
        continuation = Continuation(
            self.tokenizer, chain, ids, max_tokens=max_tokens, stop=as_stops(stop)
        )
        return Generation(session, continuation, keep=keep, drafter=drafter, load=load)

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of a prompt: with BOS and the like, and control tokens recognised."""
        return self.tokenizer.encode(text, parse_special=True)

    def session(self, ctx: int | None = None) -> Session:
        """An empty sequence to evaluate tokens in.

        Args:
            ctx: how many tokens it may hold; None for what the model was opened with.
        """
        from zigllm_cli.engine.session import Session, Slots

        if ctx not in self._engines:
            runner = self.runner(ctx, sequences=SEQUENCES)
            self._engines[ctx] = runner, Slots(runner)
        runner, slots = self._engines[ctx]
        return Session(runner, slots.take(), slots)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits behind every one of `tokens`, float32 [n, vocabulary].

        From an empty context, with keys and values in float32. Without `ctx` the context is the
        number of tokens, rounded up to 256 if the model knows so many.

        Raises:
            UsageError: no tokens, not tokens of this model, or more than `ctx`.
        """
        from zigllm_cli.engine.batch import Batch
        from zigllm_cli.engine.session import check_ids

        ids = [int(token) for token in tokens]
        context = self.options.ctx or max(-(-len(ids) // STEP) * STEP, STEP)
        trained = self.file.hyperparameter("context_length")
        if not self.options.ctx and isinstance(trained, int) and len(ids) <= trained:
            context = min(context, trained)  # learned positions end there
        if not ids or len(ids) > context:
            raise UsageError(f"{len(ids)} tokens were given, but must be from 1 to {context}")
        if self._exact is None or self._exact.context != context:
            if self._exact is not None:
                self._exact.close()
            self._exact = None  # its memory is free before the next one is made
            self._exact = self.runner(context, kv_type="f32")
        check_ids(ids, self._exact.vocabulary)
        self._exact.truncate(0, 0)
        return self._exact.step(Batch.of(ids, 0, 0, outputs=range(len(ids))))

    # -------------------------------------------------------------- embeddings

    def embed(
        self, texts: Sequence[str], *, pooling: str | None = None, normalize: bool = False
    ) -> NDArray[np.float32]:
        """A vector for each text, float32 [n, width].

        Args:
            pooling: mean, cls, last, none (all tokens' vectors, one text's behind the other's) or
                rank (a reranker's scores); None for what the file says, or else mean.
            normalize: make each vector as long as 1.

        Raises:
            UsageError: no such pooling, or a text is empty or longer than the model reads.
            UnsupportedError: "rank", and the model is no reranker.
        """
        import numpy as np

        from zigllm_cli.engine.pooling import normalized

        parts = self.embeddings.vectors(map(self.embeddings.text_ids, texts), pooling)
        if not parts:
            return np.empty((0, self.embeddings.width), np.float32)
        vectors = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
        return normalized(vectors) if normalize else vectors

    def rank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers the query, by a reranker: float32 [n], higher is better.

        Raises:
            UnsupportedError: the model is no reranker.
        """
        import numpy as np

        pairs = (self.embeddings.pair_ids(query, text) for text in texts)
        return np.array([score[0] for score in self.embeddings.vectors(pairs, "rank")], np.float32)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Texts to vectors, step by step."""
        from zigllm_cli.engine.embedding import Embeddings

        options = self.options
        return Embeddings(
            self.file,
            self.tokenizer,
            longest=options.ctx,
            threads=options.threads,
            progress=options.progress,
        )

    @property
    def is_encoder(self) -> bool:
        """Whether the model embeds texts and does not go on with them."""
        from zigllm_cli.models import architecture

        return not getattr(architecture(self.file), "causal", True)

    def runner(
        self, ctx: int | None = None, *, sequences: int = 1, kv_type: str | None = None
    ) -> Runner:
        """A new engine for this model, with the model's options where nothing else is said."""
        from zigllm_cli.engine.runner import Runner

        options = self.options
        return Runner(
            self.file,
            threads=options.threads,
            context=ctx or options.ctx,
            kv_type=kv_type or options.kv_type,
            sequences=sequences,
            progress=options.progress,
        )


def as_stops(stop: Sequence[str]) -> tuple[str, ...]:
    """Stop strings; a single one may stand without a list around it."""
    return (stop,) if isinstance(stop, str) else tuple(stop)


def load(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    ctx: int | None = None,
    kv_type: str = "f16",
    lora: Sequence[Spec] | str | os.PathLike[str] = (),
) -> Model:
    """Open a model: a GGUF file, the first shard of a split one, an alias or `builtin`.

    Args:
        threads: to run with; None for what suits the machine.
        ctx: tokens of context; None for as many as the model was trained with.
        kv_type: type of the cache: f32, f16, bf16, q8_0 or q4_0.
        lora: GGUF adapters to run it with: "FILE", "FILE=SCALE" or (FILE, SCALE), one or several.

    Raises:
        InputError: not found, unreadable or corrupt.
        UnsupportedError: a kind of file this program does not read.
        UsageError: an option makes no sense.
    """
    options = EngineOptions(threads=threads, ctx=ctx, kv_type=kv_type)
    file = open_gguf(resolve(path))
    if lora:
        from zigllm_cli.models.adapters import attach

        attach(file, [lora] if isinstance(lora, str | os.PathLike) else lora)
    return Model(file, options)
