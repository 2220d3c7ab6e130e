"""An adapter for lm-eval (EleutherAI's lm-evaluation-harness, extra `eval`), in this process.

    python -m zigllm_cli.lm_eval --model zigllm --model_args pretrained=model.gguf --tasks ...

or, in Python, `lm_eval.simple_evaluate(model=ZigllmLM("model.gguf"), tasks=[...])`.

One sequence is kept. Requests are answered in the order of their tokens, so that neighbours begin
alike (all choices of a question, all questions behind the same examples), and what two have in
common is evaluated once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from zigllm_cli.catalog import resolve
from zigllm_cli.engine.scoring import Scorer, Scores
from zigllm_cli.engine.session import Session
from zigllm_cli.errors import UsageError
from zigllm_cli.gguf import open_gguf
from zigllm_cli.model import EngineOptions, Model
from zigllm_cli.sampling import Sampling

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

Scored = tuple[tuple[str, str], list[int], list[int]]
"""(context, continuation) as text, and both as tokens."""

MAX_GENERATED = 256
"""Tokens of a generation where a task says nothing, as the harness has it."""


@register_model("zigllm")
class ZigllmLM(TemplateLM):  # type: ignore[misc, unused-ignore]
    """A GGUF model for lm-eval.

    Args:
        pretrained: a path, an alias of models.toml or `builtin`.
        ctx: tokens of context; None for as many as the model was trained with.
        threads, kv_type: as for `zigllm_cli.load`.
        add_bos_token: whether texts begin with BOS; None for what the file says.
        max_gen_toks: most tokens of a generation where a task says nothing.
        settings: of the harness that make no difference here, such as batch_size.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        ctx: int | None = None,
        threads: int | None = None,
        kv_type: str = "f16",
        add_bos_token: bool | None = None,
        max_gen_toks: int = MAX_GENERATED,
        **settings: Any,
    ) -> None:
        super().__init__()
        unknown = set(settings) - {"batch_size", "max_batch_size", "device", "max_length"}
        if unknown:
            raise UsageError(f"model_args has {', '.join(sorted(unknown))}, unknown to zigllm")
        options = EngineOptions(
            threads=threads, ctx=ctx or settings.get("max_length"), kv_type=kv_type
        )
        self.model = Model(open_gguf(resolve(pretrained)), options)
        self._runner = self.model.runner()
        self._session = Session(self._runner)
        self._scorer = Scorer(self._runner)
        self._adds_bos = self.model.tokenizer.add_bos if add_bos_token is None else add_bos_token
        self._max_gen_toks = max_gen_toks

    # ---------------------------------------------------------------- what the harness asks for

    @property
    def max_length(self) -> int:
        """Tokens of context."""
        return self._runner.context

    @property
    def tokenizer_name(self) -> str:
        """What cached requests are kept under."""
        return self.model.file.path.name

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        special = self.model.tokenizer.vocabulary.special
        return next((special[name] for name in ("eos", "eot", "bos") if name in special), 0)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context: BOS, or what ends texts."""
        return self.model.tokenizer.vocabulary.special.get("bos", self.eot_token_id)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **settings: Any
    ) -> list[int]:
        """Token ids of a text."""
        tokenizer = self.model.tokenizer
        adds = self._adds_bos if add_special_tokens is None else add_special_tokens
        ids = tokenizer.encode_part(string, parse_special=True)
        prefix = [self.prefix_token_id] if adds else []
        return ids if ids[:1] == prefix else [*prefix, *ids]

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of whole texts, in windows where they are longer than the context."""
        found = []
        for request in tqdm(requests, disable=disable_tqdm):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0], add_special_tokens=False),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length - 1,
                context_len=1,
            )
            pairs = [(("", ""), *make_disjoint_window(window)) for window in windows]
            scores = self._loglikelihood_tokens(pairs, disable_tqdm=True)
            found.append(sum(log_likelihood for log_likelihood, _ in scores))
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[Scored], disable_tqdm: bool = False, **settings: Any
    ) -> list[tuple[float, bool]]:
        """(log-likelihood of the continuation, whether it is what greedy decoding gives)."""
        return self._in_order(
            requests,
            lambda request: [*request[1], *request[2]],
            lambda request: self._score(request[1], request[2]),
            disable_tqdm,
        )

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Texts that go on from contexts, until a stop string."""
        return self._in_order(
            requests,
            lambda request: self.tok_encode(request.args[0]),
            lambda request: self._generate(*request.args),
            disable_tqdm,
        )

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Messages as the file's own chat template writes them."""
        from zigllm_cli.templates import choose, render

        vocabulary = self.model.tokenizer.vocabulary
        choice = choose(None, self.model.file.metadata, vocabulary.ids)
        texts: dict[str, Any] = {
            f"{name}_token": vocabulary.tokens[vocabulary.special[name]]
            for name in ("bos", "eos")
            if name in vocabulary.special
        }
        return render(
            choice.source, chat_history, add_generation_prompt=add_generation_prompt, **texts
        )

    # ---------------------------------------------------------------- how it is done

    def _in_order(
        self,
        requests: Sequence[Any],
        tokens: Callable[[Any], list[int]],
        answer: Callable[[Any], Any],
        disable_tqdm: bool,
    ) -> list[Any]:
        """Answers in the order of the requests, found in the order of their tokens."""
        order = sorted(range(len(requests)), key=lambda number: tokens(requests[number]))
        answers: list[Any] = [None] * len(requests)
        for number in tqdm(order, disable=disable_tqdm):
            answers[number] = answer(requests[number])
        return answers

    def _score(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        if not continuation:
            return 0.0, True
        if len(continuation) > self.max_length:
            raise UsageError(
                f"a continuation has {len(continuation)} tokens, but the context is "
                f"{self.max_length}; give model_args a larger ctx"
            )
        start = max(len(context) + len(continuation) - 1 - self.max_length, 0)
        context = context[min(start, len(context) - 1) :]
        known = self._session.reuse(context)
        first = self._session.eval(context[known:])[None]
        parts = [self._scorer.score(first, continuation[:1])]
        if len(continuation) > 1:
            rows = self._session.eval_all(continuation[:-1])
            parts.append(self._scorer.score(rows, continuation[1:]))
        scores = Scores.joined(parts)
        return float(scores.log_probs.sum()), bool((scores.tops == continuation).all())

    def _generate(self, context: str, settings: dict[str, Any]) -> str:
        until = settings.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        limit = int(settings.get("max_gen_toks", self._max_gen_toks))
        temperature = float(settings.get("temperature", 0.0))
        sampling = Sampling(
            temperature=temperature if settings.get("do_sample", temperature > 0) else 0.0,
            top_p=float(settings.get("top_p", 1.0)),
            top_k=int(settings.get("top_k", 0)),
            min_p=float(settings.get("min_p", 0.0)),
            seed=0,
        )
        ids = self.tok_encode(context)
        ids = ids[max(len(ids) + limit - self.max_length, 0) :]
        generation = self.model.continue_from(
            self._session, ids, sampling, max_tokens=limit, stop=[stop for stop in stops if stop]
        )
        return "".join(generation)
